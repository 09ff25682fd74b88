import { BANKED, firstOf } from './rules.js';
import { CANDIDATES_MAX, candidateJson, IS_OPEN } from './sides.js';

/** SQL of a bank's statement: payouts and their returns by our own reference, processors' batches by the name that the remittance has. */

/** Of an id that PostgreSQL takes for one. */
const PAYOUT_ID = `CASE WHEN t.reference ~ '^[1-9][0-9]{0,18}$' AND t.reference::numeric < 9223372036854775808 THEN t.reference::bigint END`;

/** When a payout came to a status, as its timeline has it. */
export function sinceOf(status: string): string {
  return `coalesce((SELECT max((e.step ->> 'at')::timestamptz) FROM json_array_elements(p.timeline) e (step) WHERE e.step ->> 'status' = ${status}),
                   p.created_at)`;
}

const BANK_ROWS = `
bank_rows AS MATERIALIZED (
  SELECT t.*, CASE WHEN t.type <> 'payout' THEN 'batch' WHEN t.gross < 0 THEN 'payout' ELSE 'return' END AS way, ${PAYOUT_ID} AS payout_id
    FROM told t WHERE t.told IN ('new', 'again')
)`;

/** A payout that failed was not booked, and one that is not returned did not come back: whatever the bank has booked, it is `undone` here. */
const PAYOUTS = `
payout_items AS MATERIALIZED (
  SELECT w.way, p.id AS payout_id, w.way || '/' || p.id AS item, p.currency, CASE w.way WHEN 'payout' THEN -p.amount ELSE p.amount END AS amount,
         CASE w.way WHEN 'payout' THEN ${sinceOf("'paid'")} ELSE ${sinceOf("'returned'")} END AS at,
         CASE WHEN p.status = 'failed' OR (w.way = 'return' AND p.status <> 'returned') THEN 'undone' ELSE 'due' END AS state
    FROM payouts p CROSS JOIN (VALUES ('payout'), ('return')) w (way)
   WHERE p.merchant_id + 0 = $1 AND p.id = ANY (ARRAY(SELECT payout_id FROM bank_rows WHERE way <> 'batch' AND payout_id IS NOT NULL))
)`;

/** A name is the whole remittance, one of its words, or the row's reference. */
const BATCHES = `
batch_names AS MATERIALIZED (
  SELECT DISTINCT b.reconciliation_id, b.line, n.name
    FROM bank_rows b
   CROSS JOIN LATERAL (SELECT b.reference UNION ALL SELECT b.batch UNION ALL SELECT regexp_split_to_table(b.batch, '[^A-Za-z0-9_-]+')) n (name)
   WHERE b.way = 'batch' AND n.name <> ''
), batch_items AS MATERIALIZED (
  SELECT 'batch/' || source || '/' || batch || '/' || currency AS item, batch, currency, sum(net) FILTER (WHERE type <> 'payout') AS amount,
         max(occurred_at) AS at
    FROM report_rows
   WHERE merchant_id + 0 = $1 AND batch = ANY (ARRAY(SELECT name FROM batch_names)) AND source <> $2
   GROUP BY source, batch, currency HAVING bool_or(type <> 'payout')
), named_batches AS MATERIALIZED (
  SELECT n.reconciliation_id, n.line, i.*, count(*) FILTER (WHERE i.currency = b.currency) OVER of_row AS of_currency,
         count(*) FILTER (WHERE i.currency = b.currency AND i.amount = b.gross) OVER of_row AS of_amount, i.amount = b.gross AS is_equal,
         i.currency = b.currency AS is_alike
    FROM batch_names n JOIN batch_items i ON i.batch = n.name JOIN bank_rows b ON b.reconciliation_id = n.reconciliation_id AND b.line = n.line
  WINDOW of_row AS (PARTITION BY n.reconciliation_id, n.line)
), meant_batches AS MATERIALIZED (
  SELECT reconciliation_id, line, item, currency, amount, at FROM named_batches
   WHERE CASE WHEN of_currency = 0 THEN true WHEN of_currency = 1 THEN is_alike WHEN of_amount = 1 THEN is_alike AND is_equal ELSE is_alike END
)`;

const ITEMS = `
bank_found AS MATERIALIZED (
  SELECT b.reconciliation_id, b.line, i.item, i.currency, i.amount, i.at, i.state
    FROM bank_rows b JOIN payout_items i ON i.payout_id = b.payout_id AND i.way = b.way
  UNION ALL SELECT reconciliation_id, line, item, currency, amount, at, 'due' FROM meant_batches
), bank_decided AS MATERIALIZED (
  SELECT r.*, ${firstOf(BANKED, 'match')} AS rule, ${firstOf(BANKED, 'break')} AS kind
    FROM (
      SELECT b.reconciliation_id, b.line, b.gross, b.currency, coalesce(f.items, 0) AS items, f.currency AS payment_currency, f.item, f.amount, f.at, f.state,
             m.item IS NOT NULL OR coalesce(h.is_held, false) AS is_taken, h.missing,
             row_number() OVER (PARTITION BY f.items, f.item ORDER BY b.currency <> f.currency, b.currency = f.currency AND b.gross <> f.amount, b.reconciliation_id, b.line) AS nth
        FROM bank_rows b
        LEFT JOIN (SELECT reconciliation_id, line, count(*) AS items, min(item) AS item, min(currency) AS currency, min(amount) AS amount, min(at) AS at,
                          min(state) AS state FROM bank_found GROUP BY reconciliation_id, line) f
          ON f.reconciliation_id = b.reconciliation_id AND f.line = b.line
        LEFT JOIN (SELECT item FROM reconciled_items WHERE merchant_id + 0 = $1 AND item = ANY (ARRAY(SELECT item FROM bank_found))) m ON m.item = f.item
        LEFT JOIN (SELECT item, bool_or(kind <> 'missing_in_report') AS is_held, min(id) FILTER (WHERE kind = 'missing_in_report') AS missing
                     FROM breaks WHERE merchant_id = $1 AND item = ANY (ARRAY(SELECT item FROM bank_found)) AND ${IS_OPEN}
                       AND NOT EXISTS (SELECT FROM bank_rows p WHERE p.break_id = breaks.id) GROUP BY item) h
          ON h.item = f.item) r
)`;

const DECIDED = `
decided AS MATERIALIZED (
  SELECT reconciliation_id, line, dense_rank() OVER (ORDER BY item) AS unit, rule, kind,
         CASE WHEN rule IS NOT NULL THEN reconciliation_id END AS match_report, CASE WHEN rule IS NOT NULL THEN line END AS match_line, at,
         CASE WHEN kind IN ('payout_mismatch', 'status_mismatch') OR (kind = 'currency_mismatch' AND nth = 1 AND NOT is_taken AND state = 'due')
              THEN item END AS item,
         amount, payment_currency, missing, item AS matched_item
    FROM bank_decided
), item_matches AS MATERIALIZED (
  SELECT unit, matched_item AS item, missing, match_report, match_line FROM decided WHERE rule IS NOT NULL
), fee_breaks AS MATERIALIZED (
  SELECT NULL::bigint AS unit, NULL AS provider_ref, NULL AS currency, 0::bigint AS amount, 0::bigint AS expected, 0::bigint AS fee, 0::bigint AS gross,
         0::bigint AS reconciliation_id, 0::bigint AS line, NULL::timestamptz AS occurred_at WHERE false
), candidates AS MATERIALIZED (
  SELECT d.reconciliation_id, d.line,
         (SELECT json_agg(${candidateJson({ item: 'c.item', amount: 'c.amount', currency: 'c.currency', at: 'c.at' })} ORDER BY c.item)
            FROM (SELECT * FROM bank_found f WHERE f.reconciliation_id = d.reconciliation_id AND f.line = d.line ORDER BY item LIMIT ${CANDIDATES_MAX}) c) AS list
    FROM decided d WHERE d.kind = 'ambiguous'
)`;

/** Of `told` rows it makes what `DECIDE_PAYMENTS` and `PAYMENT_BREAKS` make of a processor's. */
export const DECIDE_BANK = [BANK_ROWS, PAYOUTS, BATCHES, ITEMS, DECIDED].join(',');
