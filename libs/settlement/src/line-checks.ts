import { systemCode } from '#ledger/accounts/system-accounts.js';
import type { Check } from '#platform/verify.js';

const LINES = 'SELECT count(*) FROM settlement_lines WHERE merchant_id = $1';

/** Accounts merchant_payable of the merchant. */
export const PAYABLE = `
SELECT id AS account_id, currency FROM accounts
 WHERE merchant_id = $1 AND code = '${systemCode('merchant_payable', '')}' || currency AND normal_side = -1`;

/** Settlements and those in the making, alike. */
const HEADS = `
SELECT id, 'settlement' AS what, account_id, currency, business_date, starts_at, ends_at, looked_through, gross, refunds, disputes, other,
       adjustments, fees, items, first_version, last_version
  FROM settlements WHERE merchant_id = $1
UNION ALL
SELECT settlement_id, 'draft', account_id, currency, business_date, starts_at, ends_at, drafted_through, gross, refunds, disputes, other,
       adjustments, fees, items, first_version, last_version
  FROM settlement_drafts WHERE merchant_id = $1`;

/** What lines come to. The entry that a settlement's own fees are posted by is none of its items. */
const SUMS = `
SELECT h.id, count(*) AS items, sum(l.fee) AS fees, min(l.account_version) AS first_version, max(l.account_version) AS last_version,
       coalesce(sum(l.amount) FILTER (WHERE l.kind = 'payment' AND l.effective_at >= h.starts_at), 0) AS gross,
       coalesce(-sum(l.amount) FILTER (WHERE l.kind = 'refund' AND l.effective_at >= h.starts_at), 0) AS refunds,
       coalesce(-sum(l.amount) FILTER (WHERE l.kind = 'dispute' AND l.effective_at >= h.starts_at), 0) AS disputes,
       coalesce(sum(l.amount) FILTER (WHERE l.kind = 'other' AND l.effective_at >= h.starts_at), 0) AS other,
       coalesce(sum(l.amount) FILTER (WHERE l.effective_at < h.starts_at), 0) AS adjustments
  FROM (${HEADS}) h JOIN settlement_lines l ON l.merchant_id = $1 AND l.settlement_id = h.id AND l.kind <> 'fees'
 GROUP BY h.id`;

const AMOUNTS = ['gross', 'refunds', 'disputes', 'other', 'adjustments', 'fees', 'items'];
const ofAll = (column: (name: string) => string): string => AMOUNTS.map(column).join(', ');

export const LINE_CHECKS: readonly Check[] = [
  {
    name: 'every settlement, and every one in the making, is the sum of its lines',
    count: LINES,
    find: `
SELECT format('%s %s: ${AMOUNTS.map((name) => `${name} %s, its lines %s`).join('; ')}; versions %s to %s, its lines %s to %s', h.what, h.id,
              ${ofAll((name) => `h.${name}, s.${name}`)}, h.first_version, h.last_version, s.first_version, s.last_version)
  FROM (${HEADS}) h LEFT JOIN (${SUMS}) s USING (id)
 WHERE (${ofAll((name) => `h.${name}`)}) IS DISTINCT FROM (${ofAll((name) => `coalesce(s.${name}, 0)`)})
    OR (h.first_version, h.last_version) IS DISTINCT FROM (s.first_version, s.last_version) LIMIT $2`,
  },
  {
    name: 'every line of a settlement is what its entry on merchant_payable posted, of its kind, in its days',
    count: LINES,
    find: `
SELECT format('settlement %s: the line of version %s of account %s is not of its entry', l.settlement_id, l.account_version, l.account_id)
  FROM settlement_lines l
  LEFT JOIN (${HEADS}) h ON h.id = l.settlement_id
  LEFT JOIN (${PAYABLE}) p ON p.account_id = l.account_id AND p.currency = h.currency
  LEFT JOIN entries e ON e.merchant_id = $1 AND e.account_id = l.account_id AND e.account_version = l.account_version
  LEFT JOIN payable_items i ON i.merchant_id = $1 AND i.account_id = l.account_id AND i.account_version = l.account_version
 WHERE l.merchant_id = $1
   AND (h.id IS NULL OR p.account_id IS NULL OR h.account_id <> l.account_id
        OR (e.transaction_id, e.effective_at, CASE l.kind WHEN 'payout' THEN 0 ELSE -e.direction * e.posted_amount END)
           IS DISTINCT FROM (l.transaction_id, l.effective_at, l.amount)
        OR e.posted_amount = 0 OR coalesce(i.kind, 'other') <> l.kind
        OR l.payment_id IS DISTINCT FROM CASE WHEN i.kind IN ('payment', 'refund', 'dispute') THEN i.subject_id END
        OR l.kind <> 'fees' AND (l.effective_at >= h.ends_at OR l.account_version > h.looked_through
           OR CASE WHEN l.effective_at >= h.starts_at THEN l.business_date <> h.business_date ELSE l.business_date >= h.business_date END))
 LIMIT $2`,
  },
  {
    // Whatever else, such as a day in the making, has it waits for a later day.
    name: 'what a settlement looked at and what happened before its end is taken, by it or by one before it',
    count: LINES,
    find: `
SELECT format('version %s of account %s was left out of settlement %s', e.account_version, e.account_id, s.id)
  FROM (${PAYABLE}) p
  JOIN entries e ON e.merchant_id = $1 AND e.account_id = p.account_id AND e.posted_amount <> 0
  LEFT JOIN settlement_lines l ON l.merchant_id = $1 AND l.account_id = e.account_id AND l.account_version = e.account_version
 CROSS JOIN LATERAL (SELECT h.id FROM (${HEADS}) h
                      WHERE h.account_id = e.account_id AND h.looked_through >= e.account_version AND h.ends_at > e.effective_at
                      ORDER BY h.business_date LIMIT 1) s
 WHERE l.merchant_id IS NULL LIMIT $2`,
  },
];
