import { differenceOf, TOLD_BREAKS } from './breaks.js';
import { smallEnough } from './sides.js';

/**
 * SQL of what is written of a chunk whose rows are `decided`. `$9`: ids of breaks, as many as there may be. Null: only those rows leave that
 * neither open nor end a break, nor share their payment with one that does; the others are named, to be done behind the merchant's lock.
 * Of a row that is decided again only what is new: nothing, where its break says what is true.
 */
export const OUTCOMES = `
results AS MATERIALIZED (
  SELECT t.*, d.unit, d.item, d.amount, d.at, d.payment_currency, d.match_report, d.match_line, d.kind AS kind_found, c.list::text AS candidates_found,
         CASE WHEN t.told = 'new' THEN coalesce(d.rule, s.rule) WHEN t.told = 'again' THEN d.rule END AS rule
    FROM told t
    LEFT JOIN decided d ON d.reconciliation_id = t.reconciliation_id AND d.line = t.line
    LEFT JOIN candidates c ON c.reconciliation_id = t.reconciliation_id AND c.line = t.line
   CROSS JOIN LATERAL (SELECT CASE WHEN t.type IN ('fee', 'payout', 'other') AND t.batch IS NULL AND d.line IS NULL THEN 'told' END AS rule) s
), outcomes AS MATERIALIZED (
  SELECT r.*, a.assignee,
         CASE WHEN r.told = 'twice' THEN 'duplicate' WHEN r.told = 'new' THEN r.kind_found
              WHEN r.told = 'again' AND r.rule IS NULL AND (r.kind_found, r.item, ${smallEnough(`(${differenceOf('r.kind_found')})`)}, r.candidates_found)
                   IS DISTINCT FROM (a.kind_before, a.item_before, a.difference_before, a.candidates_before) THEN r.kind_found END AS kind,
         r.rule IN ('exact', 'tolerance', 'pairs') AND abs(extract(epoch FROM r.occurred_at - r.at)) > $5::int * 86400 AS is_late
    FROM results r LEFT JOIN again a ON a.break_id = r.break_id
), behind_lock AS MATERIALIZED (
  SELECT unit FROM outcomes WHERE kind IS NOT NULL OR is_late OR (told = 'again' AND rule IS NOT NULL)
  UNION SELECT unit FROM item_matches WHERE missing IS NOT NULL
  UNION SELECT unit FROM fee_breaks
), leaving AS MATERIALIZED (
  SELECT o.*, o.kind IS NOT NULL OR l.unit IS NOT NULL AS needs_lock
    FROM outcomes o LEFT JOIN behind_lock l ON l.unit = o.unit
)`;

/** What is taken leaves staging with what became of it; `gone` and the others are done whether anybody reads them or not. */
export const WRITE_ROWS = `
taken AS MATERIALIZED (
  SELECT * FROM leaving WHERE NOT needs_lock OR $9::bigint[] IS NOT NULL
), taken_matches AS MATERIALIZED (
  SELECT * FROM item_matches WHERE $9::bigint[] IS NOT NULL OR unit NOT IN (SELECT unit FROM behind_lock WHERE unit IS NOT NULL)
), gone AS (
  DELETE FROM report_staging
   WHERE merchant_id = $1 AND reconciliation_id = $7::bigint
     AND line = ANY (ARRAY(SELECT line FROM taken WHERE told <> 'again' UNION ALL SELECT line FROM ordinary))
), kept AS (
  INSERT INTO report_rows (merchant_id, source, identity, reconciliation_id, line, type, reference, object_ref, gross, fee, net, currency,
                           occurred_at, batch, match_reconciliation_id, match_line, rule)
  SELECT $1, $2, identity, reconciliation_id, line, type, reference, object_ref, gross, fee, net, currency, occurred_at, batch,
         CASE WHEN rule = 'told' THEN reconciliation_id ELSE match_report END, CASE WHEN rule = 'told' THEN line ELSE match_line END, rule
    FROM taken WHERE told = 'new'
  UNION ALL
  SELECT $1, $2, identity, reconciliation_id, line, type, reference, object_ref, gross, fee, net, currency, occurred_at, batch, reconciliation_id, line, 'exact'
    FROM ordinary
), matched AS (
  UPDATE report_rows r SET match_reconciliation_id = t.match_report, match_line = t.match_line, rule = t.rule
    FROM taken t
   WHERE r.merchant_id + 0 = $1 AND r.source = $2 AND r.identity = t.identity AND t.told = 'again' AND t.rule IS NOT NULL
     AND r.identity = ANY (ARRAY(SELECT identity FROM taken WHERE told = 'again' AND rule IS NOT NULL))
), items_kept AS (
  INSERT INTO reconciled_items (merchant_id, item, match_reconciliation_id, match_line)
  SELECT $1, item, match_report, match_line FROM taken_matches
  UNION ALL SELECT $1, item, reconciliation_id, line FROM ordinary
), counted AS (
  UPDATE reconciliations c SET matched = c.matched + t.matched, repeated = c.repeated + t.repeated
    FROM (SELECT reconciliation_id, count(*) FILTER (WHERE rule IS NOT NULL OR was_matched) AS matched,
                 count(*) FILTER (WHERE told = 'repeated') AS repeated
            FROM (SELECT reconciliation_id, rule, was_matched, told FROM taken
                  UNION ALL SELECT reconciliation_id, 'exact', false, 'new' FROM ordinary) o
           GROUP BY reconciliation_id) t
   WHERE c.merchant_id = $1 AND c.id = t.reconciliation_id AND t.matched + t.repeated > 0
     AND c.id = ANY (ARRAY(SELECT reconciliation_id FROM taken UNION ALL SELECT $7::bigint))
)`;

/** What the statement tells: what is left to be done behind the lock, by what is to be done together, and the events of what was. */
export const TOLD = `
SELECT (SELECT count(*) FROM chunk)::int AS rows,
       (SELECT json_agg(lines) FROM (
          SELECT array_agg(line ORDER BY line) AS lines
            FROM (SELECT line, coalesce(first_value(unit) OVER same, -first_value(line) OVER same) AS together
                    FROM leaving WHERE needs_lock AND told <> 'again' AND $9::bigint[] IS NULL WINDOW same AS (PARTITION BY identity ORDER BY line)) l
           GROUP BY together) u) AS units,
       ${TOLD_BREAKS}`;

/** Reports of which breaks end, as what is decided again is anything new. */
export const LOOK = `
SELECT ARRAY(SELECT DISTINCT b.reconciliation_id FROM leaving l
               CROSS JOIN LATERAL (SELECT reconciliation_id FROM breaks WHERE merchant_id = $1 AND id = l.break_id OFFSET 0) b
              WHERE l.told = 'again' AND (l.rule IS NOT NULL OR l.kind IS NOT NULL)) AS reports`;

/** Of rows that were all decided again. */
export const ENDED = `
SELECT ${TOLD_BREAKS}`;
