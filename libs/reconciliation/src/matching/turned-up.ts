import { ENDED_JSON } from './breaks.js';
import { timeJson } from './sides.js';

/** SQL of rows that had a break as nothing stood against them, and that are matched now. What else the rules say of them is known. */
export const TURNED_UP = `
taken AS MATERIALIZED (
  SELECT t.*, d.unit, d.item, d.amount, d.at, d.payment_currency, d.match_report AS report_of_match, d.match_line AS line_of_match, d.rule AS rule_of_match,
         NULL::text AS kind,
         d.rule IN ('exact', 'tolerance', 'pairs') AND abs(extract(epoch FROM t.occurred_at - d.at)) > $5::int * 86400 AS is_late
    FROM told t JOIN decided d ON d.reconciliation_id = t.reconciliation_id AND d.line = t.line
   WHERE d.rule IS NOT NULL
), taken_matches AS MATERIALIZED (
  SELECT * FROM item_matches
)`;

export const LOOK_AT_ROWS = `
SELECT ARRAY(SELECT break_id FROM taken ORDER BY break_id) AS ids`;

/** The break ends by the item that has turned up. */
export const END_ROWS = `
matched AS (
  UPDATE report_rows r SET match_reconciliation_id = t.report_of_match, match_line = t.line_of_match, rule = t.rule_of_match
    FROM taken t
   WHERE r.merchant_id + 0 = $1 AND r.source = $2 AND r.identity = t.identity AND r.identity = ANY (ARRAY(SELECT identity FROM taken))
), items_kept AS (
  INSERT INTO reconciled_items (merchant_id, item, match_reconciliation_id, match_line) SELECT $1, item, match_report, match_line FROM item_matches
), counted AS (
  UPDATE reconciliations c SET matched = c.matched + t.rows
    FROM (SELECT reconciliation_id, count(*) AS rows FROM taken GROUP BY reconciliation_id) t
   WHERE c.merchant_id = $1 AND c.id = t.reconciliation_id AND c.id = ANY (ARRAY(SELECT reconciliation_id FROM taken))
), ends AS MATERIALIZED (
  SELECT t.break_id, (SELECT json_agg(m.item) FROM item_matches m WHERE m.match_report = t.report_of_match AND m.match_line = t.line_of_match) AS items
    FROM taken t
), ended_rows AS (
  UPDATE breaks b
     SET status = 'auto_resolved', proposal = NULL, resolution = json_build_object(
           'by', NULL, 'approved_by', NULL, 'transaction_id', NULL, 'reason', 'It has turned up in the ledger.', 'at', ${timeJson('now()')},
           'items', e.items, 'dropped_proposal', b.proposal)
    FROM ends e
   WHERE b.merchant_id = $1 AND b.id = e.break_id AND b.id = ANY (ARRAY(SELECT break_id FROM taken)) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)
SELECT (SELECT json_agg(break ORDER BY id) FROM opened) AS opened,
       (SELECT json_agg(break ORDER BY id) FROM (SELECT * FROM ended UNION ALL SELECT * FROM ended_rows) e) AS ended`;
