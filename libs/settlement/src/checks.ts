import { systemCode } from '#ledger/accounts/system-accounts.js';
import type { Check } from '#platform/verify.js';
import { LINE_CHECKS, PAYABLE } from './line-checks.js';

const SETTLEMENTS = 'SELECT count(*) FROM settlements WHERE merchant_id = $1';
const BALANCES = 'SELECT count(*) FROM settled_balances WHERE merchant_id = $1';

/** What each transaction of fees moves; one of a client's may have their type as well. */
const FEES_POSTED = `
SELECT t.id AS transaction_id, e.currency,
       sum(e.direction * e.posted_amount) FILTER (WHERE a.code = '${systemCode('merchant_payable', '')}' || a.currency) AS taken,
       sum(-e.direction * e.posted_amount) FILTER (WHERE a.code = '${systemCode('fee_revenue', '')}' || a.currency) AS earned
  FROM transactions t
  JOIN entries e ON e.merchant_id = $1 AND e.transaction_id = t.id
  JOIN accounts a ON a.merchant_id = $1 AND a.id = e.account_id
 WHERE t.merchant_id = $1 AND t.kind = 'adjustment' AND t.type = 'settlement.fees'
 GROUP BY t.id, e.currency`;

/** Whose they are, by the items of their entries. */
const FEE_ITEMS = `
SELECT DISTINCT i.subject_id, e.transaction_id, e.currency
  FROM payable_items i
  JOIN entries e ON e.merchant_id = $1 AND e.account_id = i.account_id AND e.account_version = i.account_version
 WHERE i.merchant_id = $1 AND i.kind = 'fees'`;

/** On merchant_payable: what is posted, and what of it no settlement has taken. What was paid out and settlements' own fees aside. */
const ON_ACCOUNT = `
SELECT p.currency, sum(-e.direction * e.posted_amount) AS balance,
       sum(-e.direction * e.posted_amount) FILTER (WHERE s.id IS NULL AND coalesce(i.kind, 'other') NOT IN ('payout', 'fees')) AS unsettled
  FROM (${PAYABLE}) p
  JOIN entries e ON e.merchant_id = $1 AND e.account_id = p.account_id
  LEFT JOIN payable_items i ON i.merchant_id = $1 AND i.account_id = e.account_id AND i.account_version = e.account_version
  LEFT JOIN settlement_lines l ON l.merchant_id = $1 AND l.account_id = e.account_id AND l.account_version = e.account_version
  LEFT JOIN settlements s ON s.merchant_id = $1 AND s.id = l.settlement_id
 GROUP BY p.currency`;

export const SETTLEMENT_CHECKS: readonly Check[] = [
  ...LINE_CHECKS,
  {
    name: 'a day of a currency is settled once, after the day before it, and no later than the merchant is',
    count: SETTLEMENTS,
    find: `
SELECT format('settlement %s of %s: %s', id, business_date, wrong) FROM (
  SELECT s.id, s.business_date, s.currency,
         CASE WHEN s.business_date = b.business_date THEN 'that day is settled twice'
              WHEN s.starts_at < b.ends_at THEN 'it begins before the one before it ends'
              WHEN s.looked_through < b.looked_through THEN 'it looked at less than the one before it'
              WHEN p.business_date IS NULL OR s.business_date > p.business_date OR s.ends_at > p.ended_at THEN 'the merchant is not settled so far'
              WHEN s.business_date < p.first_date THEN 'it is before the merchant''s first day'
              WHEN s.net <> s.gross - s.refunds - s.disputes + s.other + s.adjustments - s.fees THEN 'its amounts do not come to its net' END AS wrong
    FROM settlements s
    LEFT JOIN settlement_positions p ON p.merchant_id = $1
    LEFT JOIN LATERAL (SELECT b.* FROM settlements b
                        WHERE b.merchant_id = $1 AND b.currency = s.currency AND (b.business_date, b.id) < (s.business_date, s.id)
                        ORDER BY b.business_date DESC, b.id DESC LIMIT 1) b ON true
   WHERE s.merchant_id = $1
  UNION ALL
  SELECT d.settlement_id, d.business_date, d.currency, 'it is in the making, and its day is settled'
    FROM settlement_drafts d JOIN settlement_positions p ON p.merchant_id = $1 AND p.business_date >= d.business_date
   WHERE d.merchant_id = $1
) days WHERE wrong IS NOT NULL LIMIT $2`,
  },
  {
    name: 'a settlement’s transaction posts its fees, and no other transaction does',
    count: SETTLEMENTS,
    find: `
SELECT format('settlement %s: fees %s, transaction %s takes %s for %s', s.id, s.fees, coalesce(s.transaction_id, f.transaction_id), f.taken, i.subject_id)
  FROM (SELECT * FROM settlements WHERE merchant_id = $1 AND (fees <> 0 OR transaction_id IS NOT NULL)) s
  FULL JOIN (${FEES_POSTED}) f ON f.transaction_id = s.transaction_id AND f.currency = s.currency
  FULL JOIN (${FEE_ITEMS}) i ON i.transaction_id = coalesce(s.transaction_id, f.transaction_id) AND i.currency = coalesce(s.currency, f.currency)
 WHERE (f.taken, f.earned, i.subject_id) IS DISTINCT FROM (s.fees, s.fees, s.id) LIMIT $2`,
  },
  {
    name: 'what is settled of a currency is the sum of its settlements, and with what is not it is the balance of merchant_payable',
    count: BALANCES,
    find: `
SELECT format('%s: settled %s, settlements %s, paid out %s, unsettled %s, balance %s', currency, b.settled, s.net, b.paid_out, e.unsettled, e.balance)
  FROM (SELECT * FROM settled_balances WHERE merchant_id = $1) b
  FULL JOIN (SELECT currency, sum(net) AS net FROM settlements WHERE merchant_id = $1 GROUP BY currency) s USING (currency)
  FULL JOIN (${ON_ACCOUNT}) e USING (currency)
 WHERE coalesce(b.settled, 0) <> coalesce(s.net, 0)
    OR coalesce(s.net, 0) - coalesce(b.paid_out, 0) + coalesce(e.unsettled, 0) <> coalesce(e.balance, 0) LIMIT $2`,
  },
  {
    name: 'settlements of a currency have looked, and taken, as far as is written down',
    count: BALANCES,
    find: `
SELECT * FROM (
  SELECT format('%s: looked through %s, its last settlement through %s', b.currency, b.looked_through, s.looked_through)
    FROM settled_balances b
    JOIN LATERAL (SELECT looked_through FROM settlements s WHERE s.merchant_id = $1 AND s.currency = b.currency
                   ORDER BY business_date DESC LIMIT 1) s ON s.looked_through > b.looked_through
   WHERE b.merchant_id = $1
  UNION ALL
  SELECT format('%s: version %s is not taken, though all through %s should be', b.currency, e.account_version, b.taken_through)
    FROM settled_balances b
    JOIN (${PAYABLE}) p USING (currency)
    JOIN entries e ON e.merchant_id = $1 AND e.account_id = p.account_id AND e.account_version <= b.taken_through AND e.posted_amount <> 0
    LEFT JOIN settlement_lines l ON l.merchant_id = $1 AND l.account_id = e.account_id AND l.account_version = e.account_version
   WHERE b.merchant_id = $1 AND l.merchant_id IS NULL
) behind LIMIT $2`,
  },
  {
    name: 'the gross volume of all months is that of the payments that settlements took',
    count: 'SELECT count(*) FROM fee_volumes WHERE merchant_id = $1',
    find: `
SELECT format('%s: volume %s, payments %s', currency, v.gross, l.gross)
  FROM (SELECT currency, sum(gross) AS gross FROM fee_volumes WHERE merchant_id = $1 GROUP BY currency) v
  FULL JOIN (SELECT p.currency, sum(l.amount) AS gross FROM (${PAYABLE}) p
               JOIN settlement_lines l ON l.merchant_id = $1 AND l.account_id = p.account_id AND l.kind = 'payment'
              GROUP BY p.currency) l USING (currency)
 WHERE coalesce(v.gross, 0) <> coalesce(l.gross, 0) LIMIT $2`,
  },
];
