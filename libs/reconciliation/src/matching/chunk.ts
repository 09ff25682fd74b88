import { NONE_ORDINARY, ORDINARY_ROWS } from './ordinary.js';
import { PAYMENT_ROWS } from './payments.js';
import { IS_OF_ROW, NAME_OF_BREAK } from './sides.js';

/**
 * SQL of the rows that are decided together, with those that were told before and have an open break. Those that share what they are taken
 * by (their reference, or what else names their money) are in one chunk, unless they alone are more than a chunk has room for: then these rows are groups of that size, in their order.
 */

const NAME = `coalesce(s.reference, s.object_ref, '')`;
const STAGED = `s.*, ${NAME} AS name FROM report_staging s WHERE s.merchant_id = $1 AND s.reconciliation_id = $7::bigint`;

/** $8 rows at most. The next of what is staged, in the order of their names: those before the name of the first that has no room. */
const NEXT_ROWS = `
ahead AS MATERIALIZED (
  SELECT ${STAGED} ORDER BY ${NAME}, s.line LIMIT $8::int + 1
), ends AS MATERIALIZED (
  SELECT (SELECT name FROM ahead LIMIT 1) AS first, (SELECT name FROM ahead OFFSET $8::int) AS beyond
), chunk AS MATERIALIZED (
  SELECT a.* FROM ahead a WHERE (SELECT coalesce(first = beyond, true) FROM ends) OR a.name < (SELECT beyond FROM ends) LIMIT $8::int
)`;

/** $8 lines. What of a chunk opens or ends a break, as it was found a moment ago without the merchant's lock. */
const ROWS_OF_LINES = `
chunk AS MATERIALIZED (SELECT ${STAGED} AND s.line = ANY ($8::bigint[]))`;

/** As the break of a row is named: a bank's row without a reference has its remittance. */
const NAME_BESIDE = `CASE WHEN name = '' AND type NOT IN ${PAYMENT_ROWS} AND batch IS NOT NULL THEN batch ELSE name END`;

/** Open breaks of rows that one name brings along at most: the oldest. */
const BESIDE_MAX = 1_000;

const ROW = `r.reconciliation_id, r.line, r.identity, r.type, r.reference, r.object_ref, r.gross, r.fee, r.net, r.currency, r.occurred_at, r.batch`;

/** What an open break says of its row, the row, and who has taken it. */
const AGAIN = `b.id AS break_id, b.kind AS kind_before, b.item AS item_before, b.difference AS difference_before,
         CASE WHEN b.kind = 'ambiguous' THEN b.candidates::text END AS candidates_before, b.assignee`;

/**
 * Rows that were told before and have an open break are decided again with those that share their name. $8 and `most`: so many at most.
 * See TOLD_ROWS for `+ 0`.
 */
function rowsBeside(most: string): string {
  return `
again AS MATERIALIZED (
  SELECT ${ROW}, ${AGAIN}
    FROM (SELECT DISTINCT name FROM (SELECT ${NAME_BESIDE} AS name FROM rest) n WHERE name <> '') c
   CROSS JOIN LATERAL (SELECT * FROM (SELECT * FROM breaks
                                       WHERE merchant_id = $1 AND row_source = $2 AND ${NAME_OF_BREAK} = c.name AND ${IS_OF_ROW} OFFSET 0) b
                        ORDER BY id LIMIT ${BESIDE_MAX}) b
   CROSS JOIN LATERAL (SELECT * FROM report_rows WHERE merchant_id + 0 = $1 AND source = $2 AND identity = b.row_identity OFFSET 0) r
   WHERE r.match_line IS NULL
   ORDER BY b.id LIMIT ${most}
)`;
}

/**
 * Whether a row was told before: `repeated` by another report, `twice` by this one. A row of one identity is told once; who tells it
 * again changes nothing, but a report that has it twice has a row too many. `again`: it has an open break, and is decided anew.
 *
 * What matching itself fills is looked up row by row, and the merchant is an index's condition by row-level security alone (`+ 0`): of a
 * table without statistics the planner takes one merchant, asked for twice, for a single row, and any index that begins with it for as
 * good as the right one. Chunks of 10,000 rows took 10 s and more, growing with the table; now 0.45 s.
 * Not so of breaks, whose policy for reading is no index's condition: there `+ 0` would leave none of the merchant.
 */
const TOLD_ROWS = `
known AS MATERIALIZED (
  SELECT r.* FROM (SELECT DISTINCT identity FROM rest) c
   CROSS JOIN LATERAL (SELECT identity, reconciliation_id, match_line IS NOT NULL AS is_matched FROM report_rows
                        WHERE merchant_id + 0 = $1 AND source = $2 AND identity = c.identity OFFSET 0) r
), alike AS MATERIALIZED (
  SELECT identity, min(line) AS first FROM rest GROUP BY identity HAVING count(*) > 1
), told AS MATERIALIZED (
  SELECT ${ROW}, NULL::bigint AS break_id, coalesce(k.is_matched, false) AS was_matched,
         CASE WHEN k.reconciliation_id <> r.reconciliation_id THEN 'repeated' WHEN k.identity IS NOT NULL OR r.line > a.first THEN 'twice' ELSE 'new' END
           AS told
    FROM rest r LEFT JOIN known k ON k.identity = r.identity LEFT JOIN alike a ON a.identity = r.identity
  UNION ALL
  SELECT ${ROW}, r.break_id, false, 'again' FROM again r
)`;

/** The next rows of a report with those beside them, but for what is `ordinary`; and those of lines. */
export const NEXT_TOLD = [NEXT_ROWS, ORDINARY_ROWS, rowsBeside('$8::int'), TOLD_ROWS].join(',');
export const NEXT_BANKED = [NEXT_ROWS, NONE_ORDINARY, rowsBeside('$8::int'), TOLD_ROWS].join(',');
/** There are ids of breaks for so many rows beside them. */
const LINES_BESIDE = rowsBeside(`cardinality($9::bigint[]) / 3 - cardinality($8::bigint[])`);
export const LINES_TOLD = [ROWS_OF_LINES, NONE_ORDINARY, LINES_BESIDE, TOLD_ROWS].join(',');

/** $8 breaks, of rows that are decided again. Nothing of a report is in the chunk. */
export const BREAKS_TOLD = `
chunk AS MATERIALIZED (SELECT ${STAGED} AND false), ${NONE_ORDINARY}, again AS MATERIALIZED (
  SELECT ${ROW}, ${AGAIN}
    FROM (SELECT DISTINCT unnest($8::bigint[]) AS id) k
   CROSS JOIN LATERAL (SELECT * FROM breaks WHERE merchant_id = $1 AND id = k.id AND row_source = $2 AND ${IS_OF_ROW} OFFSET 0) b
   CROSS JOIN LATERAL (SELECT * FROM report_rows WHERE merchant_id + 0 = $1 AND source = $2 AND identity = b.row_identity OFFSET 0) r
   WHERE r.match_line IS NULL
), told AS MATERIALIZED (
  SELECT ${ROW}, r.break_id, false AS was_matched, 'again' AS told FROM again r
)`;
