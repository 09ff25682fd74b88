import { settledFee } from '#payments/payment-items.js';
import { CANDIDATES_MAX, candidateJson, expectedJson } from './sides.js';

/**
 * SQL of what is wrong with matched payments. `$4` and `$5` are the tolerances of fees and of days. Fees are held against each other where
 * the report tells as much of a payment's captures as the processor has settled of it.
 */
export const PAYMENT_BREAKS = `
fee_breaks AS MATERIALIZED (
  SELECT f.id AS unit, f.provider_ref, f.currency, f.amount_settled AS amount, s.fee AS expected, r.fee + coalesce(b.fee, 0) AS fee, r.gross, r.reconciliation_id, r.line,
         r.occurred_at
    FROM (SELECT d.unit, sum(p.gross) AS gross, sum(p.fee) AS fee, min(p.reconciliation_id) AS reconciliation_id,
                 (array_agg(p.line ORDER BY p.reconciliation_id, p.line))[1] AS line, min(p.occurred_at) AS occurred_at, count(d.rule) = count(*) AND count(p.fee) = count(*) AS is_whole
            FROM decided d JOIN placed p ON p.reconciliation_id = d.reconciliation_id AND p.line = d.line
           WHERE p.type = 'payment' AND d.unit IS NOT NULL GROUP BY d.unit) r
    JOIN found f ON f.id = r.unit
    LEFT JOIN (SELECT reference, sum(gross) AS gross, sum(fee) AS fee, bool_and(is_matched AND fee IS NOT NULL) AS is_whole
                 FROM told_before WHERE type = 'payment' GROUP BY reference) b ON b.reference = f.provider_ref
   CROSS JOIN LATERAL (SELECT CASE WHEN f.amount_settled = r.gross + coalesce(b.gross, 0) THEN ${settledFee('f.parts')} END AS fee) s
   WHERE r.is_whole AND coalesce(b.is_whole, true) AND abs(r.fee + coalesce(b.fee, 0) - s.fee) > $4::bigint
)`;

/** What a row may be of: the items of its amount, or the payments of its name. */
export const CANDIDATES = `
candidates AS MATERIALIZED (
  SELECT u.reconciliation_id, u.line,
         (SELECT json_agg(${candidateJson({ item: 'c.item', amount: 'c.amount', currency: 'f.currency', at: 'c.at' })} ORDER BY c.nth)
            FROM paired c JOIN found f ON f.id = c.payment_id
           WHERE c.payment_id = u.payment_id AND c.kind = u.type AND c.amount = u.gross AND c.nth <= ${CANDIDATES_MAX}) AS list
    FROM unnamed u WHERE u.kind = 'ambiguous'
  UNION ALL
  SELECT p.reconciliation_id, p.line,
         (SELECT json_agg(json_build_object('payment_id', f.id::text, 'reference', f.provider_ref, 'proposed', false) ORDER BY f.id)
            FROM (SELECT f.id, f.provider_ref FROM found f
                   WHERE f.provider_ref = p.reference OR f.subject IN (SELECT o.subject FROM objects o WHERE o.object_ref = p.object_ref)
                   ORDER BY f.id LIMIT ${CANDIDATES_MAX}) f)
    FROM placed p WHERE p.payments > 1
)`;

/** How a break of a fee reads, of the row `f` of fee_breaks. */
export const FEE_EXPECTED = expectedJson({
  amount: 'f.amount',
  fee: 'f.expected',
  currency: 'f.currency',
  at: 'NULL::timestamptz',
});
