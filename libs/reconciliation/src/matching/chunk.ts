/**
 * SQL of the rows that are decided together. Those that share what they are taken by (their reference, or what else names their money)
 * are in one chunk, unless they alone are more than a chunk has room for: then these rows are groups of that size, in their order.
 */

const NAME = `coalesce(s.reference, s.object_ref, '')`;
const STAGED = `s.*, ${NAME} AS name FROM report_staging s WHERE s.merchant_id = $1 AND s.reconciliation_id = $7::bigint`;

/** $8 rows at most. The next of what is staged, in the order of their names: those before the name of the first that has no room. */
export const NEXT_ROWS = `
ahead AS MATERIALIZED (
  SELECT ${STAGED} ORDER BY ${NAME}, s.line LIMIT $8::int + 1
), ends AS MATERIALIZED (
  SELECT (SELECT name FROM ahead LIMIT 1) AS first, (SELECT name FROM ahead OFFSET $8::int) AS beyond
), chunk AS MATERIALIZED (
  SELECT a.* FROM ahead a WHERE (SELECT coalesce(first = beyond, true) FROM ends) OR a.name < (SELECT beyond FROM ends) LIMIT $8::int
)`;

/** $8 lines. What of a chunk opens or ends a break, as it was found a moment ago without the merchant's lock. */
export const ROWS_OF_LINES = `
chunk AS MATERIALIZED (SELECT ${STAGED} AND s.line = ANY ($8::bigint[]))`;

/**
 * Whether a row was told before: `repeated` by another report, `twice` by this one. A row of one identity is told once; who tells it
 * again changes nothing, but a report that has it twice has a row too many.
 *
 * What matching itself fills is looked up row by row, and the merchant is an index's condition by row-level security alone (`+ 0`): of a
 * table without statistics the planner takes one merchant, asked for twice, for a single row, and any index that begins with it for as
 * good as the right one. Chunks of 10,000 rows took 10 s and more, growing with the table; now 0.45 s.
 */
export const TOLD_ROWS = `
known AS MATERIALIZED (
  SELECT r.* FROM (SELECT DISTINCT identity FROM rest) c
   CROSS JOIN LATERAL (SELECT identity, reconciliation_id, match_line IS NOT NULL AS is_matched FROM report_rows
                        WHERE merchant_id + 0 = $1 AND source = $2 AND identity = c.identity OFFSET 0) r
), alike AS MATERIALIZED (
  SELECT identity, min(line) AS first FROM rest GROUP BY identity HAVING count(*) > 1
), told AS MATERIALIZED (
  SELECT c.*, coalesce(k.is_matched, false) AS was_matched,
         CASE WHEN k.reconciliation_id <> c.reconciliation_id THEN 'repeated' WHEN k.identity IS NOT NULL OR c.line > a.first THEN 'twice' ELSE 'new' END
           AS told
    FROM rest c LEFT JOIN known k ON k.identity = c.identity LEFT JOIN alike a ON a.identity = c.identity
)`;

/** $8 breaks. Rows that are in the ledger by now, perhaps: they have their place in report_rows, and a break that is open. */
export const ROWS_OF_BREAKS = `
told AS MATERIALIZED (
  SELECT r.*, b.id AS break_id, 'new' AS told, false AS was_matched
    FROM (SELECT id, row_identity FROM breaks WHERE merchant_id = $1 AND id = ANY ($8::bigint[]) AND row_source = $2 AND resolution IS NULL) b
    JOIN (SELECT * FROM report_rows WHERE merchant_id = $1 AND source = $2 AND match_line IS NULL
             AND identity = ANY (ARRAY(SELECT row_identity FROM breaks WHERE merchant_id = $1 AND id = ANY ($8::bigint[])))) r
      ON r.identity = b.row_identity
)`;
