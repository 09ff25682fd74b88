import type { Check } from '#platform/verify.js';

const KINDS = `('payment', 'refund', 'dispute')`;
const ITEMS = `SELECT count(*) FROM payable_items WHERE merchant_id = $1 AND kind IN ${KINDS}`;

/** What payments post on merchant_payable, entry by entry. */
const POSTED = `
SELECT p.id AS payment_id, e.account_id, e.account_version
  FROM (SELECT id, unnest(transactions) AS transaction_id FROM payments WHERE merchant_id = $1) p
  JOIN entries e ON e.merchant_id = $1 AND e.transaction_id = p.transaction_id AND e.posted_amount <> 0
  JOIN accounts a ON a.merchant_id = $1 AND a.id = e.account_id AND a.code = 'merchant_payable:' || a.currency`;

/** What a payment's items come to in a currency, as what it adds to what is owed to the merchant. */
const SUMS = `
SELECT i.subject_id AS payment_id, e.currency, bool_or(i.net) AS net,
       coalesce(sum(-e.direction * e.posted_amount) FILTER (WHERE i.kind = 'payment'), 0) AS payment,
       coalesce(sum(-e.direction * e.posted_amount) FILTER (WHERE i.kind = 'refund'), 0) AS refund,
       coalesce(sum(-e.direction * e.posted_amount) FILTER (WHERE i.kind = 'dispute'), 0) AS dispute
  FROM payable_items i
  JOIN entries e ON e.merchant_id = $1 AND e.account_id = i.account_id AND e.account_version = i.account_version
 WHERE i.merchant_id = $1 AND i.kind IN ${KINDS}
 GROUP BY i.subject_id, e.currency`;

/** The same by what payments show, which follows from their facts. */
const SHOWN = `
SELECT p.id AS payment_id, p.currency, p.amount_captured AS payment, -p.amount_refunded AS refund,
       -p.amount_disputed - (SELECT coalesce(sum((d ->> 'fee')::numeric), 0) FROM json_array_elements(p.parts -> 'disputes') d) AS dispute
  FROM payments p WHERE p.merchant_id = $1`;

export const ITEM_CHECKS: readonly Check[] = [
  {
    name: 'every entry of a payment on merchant_payable has its item, and every item of a payment its entry',
    count: ITEMS,
    find: `
SELECT CASE WHEN i.subject_id IS NULL THEN format('payment %s: version %s of account %s has no item of it', p.payment_id, p.account_version, p.account_id)
            ELSE format('payment %s: version %s of account %s is no entry of it', i.subject_id, i.account_version, i.account_id) END
  FROM (${POSTED}) p
  FULL JOIN (SELECT subject_id, account_id, account_version FROM payable_items WHERE merchant_id = $1 AND kind IN ${KINDS}) i
    ON i.account_id = p.account_id AND i.account_version = p.account_version AND i.subject_id = p.payment_id
 WHERE i.subject_id IS NULL OR p.payment_id IS NULL LIMIT $2`,
  },
  {
    // Items of before kinds had entries of their own are right together alone.
    name: 'the items of every payment come to what it shows, kind by kind',
    count: ITEMS,
    find: `
SELECT format('payment %s: its items come to %s captured, %s refunded, %s disputed in %s, it shows %s, %s, %s', payment_id, has.payment,
              has.refund, has.dispute, currency, shown.payment, shown.refund, shown.dispute)
  FROM (${SUMS}) has FULL JOIN (${SHOWN}) shown USING (payment_id, currency)
 CROSS JOIN LATERAL (SELECT coalesce(has.payment, 0) - coalesce(shown.payment, 0) AS payment,
                            coalesce(has.refund, 0) - coalesce(shown.refund, 0) AS refund,
                            coalesce(has.dispute, 0) - coalesce(shown.dispute, 0) AS dispute) off
 WHERE off.payment + off.refund + off.dispute <> 0
    OR has.net IS NOT TRUE AND (off.payment <> 0 OR off.refund <> 0 OR off.dispute <> 0) LIMIT $2`,
  },
];
