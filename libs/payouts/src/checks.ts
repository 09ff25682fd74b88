import { ownedTransactionsCheck } from '#ledger/verify/owned-transactions.js';
import type { Check } from '#platform/verify.js';
import { moneyOf, PAYOUT_JSON, type PayoutRow } from './payout-rows.js';
import { PAYOUT } from './payout-timers.js';
import { PAYOUT_ACCOUNTS, positionOf } from './status.js';

const PAYOUTS = 'SELECT count(*) FROM payouts WHERE merchant_id = $1';

/** The transactions that payouts name. */
/** What each payout's transactions come to on each account, debits up. Entries are looked up by the transactions' legs: no index leads by transaction. */
const MOVED = `
SELECT n.payout_id, a.code, sum(e.direction * e.posted_amount)::text AS posted
  FROM (SELECT id AS payout_id, unnest(transactions) AS transaction_id FROM payouts WHERE merchant_id = $1) n
  JOIN transactions t ON t.merchant_id = $1 AND t.created_at = snowflake_time(n.transaction_id) AND t.id = n.transaction_id
 CROSS JOIN LATERAL generate_series(1, cardinality(t.legs), 2) AS leg
  JOIN entries e ON e.merchant_id = $1 AND e.account_id = t.legs[leg] AND e.account_version = t.legs[leg + 1]
  JOIN accounts a ON a.merchant_id = $1 AND a.id = e.account_id
 GROUP BY n.payout_id, a.code`;

/** Each payout with what it has on its accounts and what its items charge. */
const WHOLE = `
SELECT ${PAYOUT_JSON} AS payout, m.moved, i.fee
  FROM payouts p
  LEFT JOIN (SELECT payout_id, json_agg(json_build_array(code, posted)) AS moved FROM (${MOVED}) by_account GROUP BY payout_id) m ON m.payout_id = p.id
  LEFT JOIN (SELECT subject_id, sum(fee)::text AS fee FROM payable_items WHERE merchant_id = $1 AND kind = 'payout' GROUP BY subject_id) i
    ON i.subject_id = p.id
 WHERE p.merchant_id = $1`;

/** What a payout is not, of what its status makes of it. */
function disagreement(row: Record<string, unknown>): string | undefined {
  const payout = JSON.parse(row.payout as string) as PayoutRow;
  const moved = new Map(JSON.parse((row.moved as string | null) ?? '[]') as [string, string][]);
  const expected = positionOf(payout.status, moneyOf(payout));
  const wrong = PAYOUT_ACCOUNTS.flatMap((account) => {
    const has = moved.get(`${account}:${payout.currency}`) ?? '0';
    return has === String(expected[account]) ? [] : [`has ${has} on ${account} and should have ${expected[account]}`];
  });
  const fee = (row.fee as string | null) ?? '0';
  if (fee !== String(expected.fee)) wrong.push(`is charged ${fee} and should be ${expected.fee}`);
  if (payout.timeline.at(-1)?.status !== payout.status) wrong.push('its timeline ends otherwise');
  return wrong.length === 0 ? undefined : `payout ${payout.id} is ${payout.status}: ${wrong.join('; ')}`;
}

export const PAYOUT_CHECKS: readonly Check[] = [
  {
    name: 'every payout has on its accounts, and is charged, what its status says',
    count: PAYOUTS,
    examine: { rows: WHOLE, offender: disagreement },
  },
  {
    name: 'what is paid out in a currency is what its payouts have taken',
    count: 'SELECT count(*) FROM settled_balances WHERE merchant_id = $1',
    find: `
SELECT format('%s: %s are paid out, payouts have taken %s', coalesce(b.currency, p.currency), coalesce(b.paid_out, 0), coalesce(p.taken, 0))
  FROM (SELECT currency, paid_out FROM settled_balances WHERE merchant_id = $1) b
  FULL JOIN (SELECT currency, sum(amount) FILTER (WHERE status IN ('reserved', 'instructed', 'paid')) AS taken
               FROM payouts WHERE merchant_id = $1 GROUP BY currency) p ON p.currency = b.currency
 WHERE coalesce(b.paid_out, 0) <> coalesce(p.taken, 0) LIMIT $2`,
  },
  ownedTransactionsCheck('payout'),
  {
    name: 'every payout on its way is due',
    count: PAYOUTS,
    find: `
SELECT format('payout %s is %s, and nobody will ask the bank', p.id, p.status)
  FROM payouts p LEFT JOIN due_rows d ON d.merchant_id = $1 AND d.kind = '${PAYOUT}' AND d.subject_id = p.id
 WHERE p.merchant_id = $1 AND p.status IN ('reserved', 'instructed') AND d.subject_id IS NULL LIMIT $2`,
  },
];
