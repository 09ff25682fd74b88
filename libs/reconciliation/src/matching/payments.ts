import { KIND_OF_FACT, paymentItems } from '#payments/payment-items.js';

/** Rows of a report that are to be found among payments. */
export const PAYMENT_ROWS = `('payment', 'refund', 'dispute', 'dispute_reversed')`;

const IS_WANTED = `told IN ('new', 'again') AND type IN ${PAYMENT_ROWS}`;
const PAYMENT = 'p.id, p.subject, p.provider_ref, p.currency, p.amount_settled, p.parts';
/** Not an index's condition: beside it a planner without statistics would take what is looked for by a key for no better than all of a provider's. */
export const OF_PROVIDER = '(p.provider = $3::text) IS NOT FALSE';

/**
 * $3 the provider whose payments they are; null: whoever's. A row's payment is the one of its reference, or else the one that its
 * object_ref is of. Whoever finds several has not found it. All that is looked for is looked for at once: a search of an index with
 * many keys costs a third of as many searches.
 */
export const FIND_PAYMENTS = `
by_reference AS MATERIALIZED (
  SELECT ${PAYMENT} FROM payments p
   WHERE p.merchant_id + 0 = $1 AND p.provider_ref = ANY (ARRAY(SELECT reference FROM told WHERE ${IS_WANTED})) AND ${OF_PROVIDER}
), references_found AS MATERIALIZED (
  SELECT provider_ref AS reference, min(id) AS payment_id, count(*) AS payments FROM by_reference GROUP BY provider_ref
), objects AS MATERIALIZED (
  SELECT DISTINCT f.object_ref, f.subject FROM payment_facts f
   WHERE f.merchant_id + 0 = $1 AND f.type <> 'settled'
     AND f.object_ref = ANY (ARRAY(SELECT t.object_ref FROM told t LEFT JOIN references_found r USING (reference)
                                    WHERE ${IS_WANTED} AND t.object_ref IS NOT NULL AND r.reference IS NULL))
), by_object AS MATERIALIZED (
  SELECT ${PAYMENT} FROM payments p
   WHERE p.merchant_id + 0 = $1 AND p.subject = ANY (ARRAY(SELECT subject FROM objects)) AND ${OF_PROVIDER}
), objects_found AS MATERIALIZED (
  SELECT o.object_ref, min(p.id) AS payment_id, count(*) AS payments FROM objects o JOIN by_object p USING (subject) GROUP BY o.object_ref
), found AS MATERIALIZED (
  SELECT * FROM by_reference UNION ALL SELECT * FROM by_object WHERE id NOT IN (SELECT id FROM by_reference)
), placed AS MATERIALIZED (
  SELECT t.reconciliation_id, t.line, t.identity, t.type, t.reference, t.object_ref, t.gross, t.fee, t.currency, t.occurred_at, t.break_id,
         coalesce(r.payments, o.payments, 0) AS payments, coalesce(r.payment_id, o.payment_id) AS payment_id
    FROM told t
    LEFT JOIN references_found r ON r.reference = t.reference
    LEFT JOIN objects_found o ON r.reference IS NULL AND o.object_ref = t.object_ref
   WHERE ${IS_WANTED}
), wanted AS MATERIALIZED (
  SELECT DISTINCT payment_id AS id, type AS kind FROM placed WHERE payments = 1
)`;

/**
 * The items of these payments, of the kinds that rows are of. One without an object_ref is named by its amount, so that another one that
 * becomes known later does not change its name.
 * `merchant_id + 0`: see TOLD_ROWS. `at`: when it happened; `is_taken`: it is matched, or an open break of a row that is not decided here has it; `missing`: the open break that says that nobody has told it.
 */
export const FIND_ITEMS = `
parts AS MATERIALIZED (${paymentItems('wanted', 'found')}
), named_parts AS (
  SELECT payment_id, kind, object_ref, amount, state, object_ref AS name FROM parts WHERE object_ref IS NOT NULL
  UNION ALL
  SELECT payment_id, kind, object_ref, amount, state, '#' || amount || '.' || row_number() OVER (PARTITION BY payment_id, kind, amount ORDER BY place)
    FROM parts WHERE object_ref IS NULL
), items_there AS MATERIALIZED (
  SELECT i.payment_id, p.subject, p.provider_ref, i.kind, i.object_ref, i.amount, i.state, 'payment/' || i.payment_id || '/' || i.kind || '/' || i.name AS item
    FROM named_parts i JOIN found p ON p.id = i.payment_id
), facts AS MATERIALIZED (
  SELECT subject, kind, mark, coalesce(min(occurred_at) FILTER (WHERE source = 'provider'), min(occurred_at)) AS at
    FROM (SELECT subject, ${KIND_OF_FACT} AS kind, coalesce(object_ref, '#' || amount, '') AS mark, occurred_at, source
            FROM payment_facts
           WHERE merchant_id + 0 = $1 AND subject = ANY (ARRAY(SELECT subject FROM items_there))) f
   WHERE kind IS NOT NULL GROUP BY subject, kind, mark
), told_before AS MATERIALIZED (
  SELECT r.reference, r.type, r.object_ref, r.gross, r.fee, r.match_line IS NOT NULL AS is_matched
    FROM (SELECT DISTINCT provider_ref FROM found) f
   CROSS JOIN LATERAL (SELECT * FROM report_rows WHERE merchant_id + 0 = $1 AND reference = f.provider_ref OFFSET 0) r
   WHERE r.source = $2 AND NOT EXISTS (SELECT FROM placed p WHERE p.identity = r.identity)
), items AS MATERIALIZED (
  SELECT i.*, coalesce(f.at, k.at) AS at, m.item IS NOT NULL OR t.object_ref IS NOT NULL AS is_matched,
         m.item IS NOT NULL OR t.object_ref IS NOT NULL OR coalesce(h.is_held, false) AS is_taken, h.missing AS missing
    FROM items_there i
    LEFT JOIN facts f ON f.subject = i.subject AND f.kind = i.kind AND f.mark = coalesce(i.object_ref, '#' || abs(i.amount))
    LEFT JOIN (SELECT subject, kind, min(at) AS at FROM facts GROUP BY subject, kind) k ON k.subject = i.subject AND k.kind = i.kind
    LEFT JOIN (SELECT r.item FROM (SELECT DISTINCT item FROM items_there) w
                 CROSS JOIN LATERAL (SELECT item FROM reconciled_items WHERE merchant_id + 0 = $1 AND item = w.item OFFSET 0) r) m ON m.item = i.item
    LEFT JOIN (SELECT DISTINCT reference, type, object_ref FROM told_before WHERE is_matched) t
      ON t.reference = i.provider_ref AND t.type = i.kind AND t.object_ref = i.object_ref
    LEFT JOIN (SELECT b.item, bool_or(b.kind <> 'missing_in_report') AS is_held, min(b.id) FILTER (WHERE b.kind = 'missing_in_report') AS missing
                 FROM (SELECT DISTINCT item FROM items_there) w
                CROSS JOIN LATERAL (SELECT id, item, kind FROM breaks WHERE merchant_id = $1 AND item = w.item AND resolution IS NULL OFFSET 0) b
                WHERE NOT EXISTS (SELECT FROM placed p WHERE p.break_id = b.id)
                GROUP BY b.item) h
      ON h.item = i.item
)`;
