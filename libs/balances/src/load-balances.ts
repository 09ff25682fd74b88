import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { type AccountKey, type CachedBalance, cacheKey } from './cached-balance.js';

/** $1 merchants, $2 accounts. No lock. now() is the start of the transaction: what a balance contains was committed by then. */
const LOAD_BALANCES = {
  name: 'load-balances',
  text: `SELECT b.*, now() AS as_of FROM unnest($1::bigint[], $2::bigint[]) AS k (merchant_id, account_id)
  CROSS JOIN LATERAL (
    SELECT merchant_id, account_id, version, posted_debits, posted_credits, pending_debits, pending_credits
      FROM balances WHERE merchant_id = k.merchant_id AND account_id = k.account_id LIMIT 1) AS b`,
};

interface Row {
  merchant_id: bigint;
  account_id: bigint;
  version: bigint;
  posted_debits: bigint;
  posted_credits: bigint;
  pending_debits: bigint;
  pending_credits: bigint;
  as_of: number;
}

/**
 * Balances of any merchants' accounts from the primary, by `cacheKey`; an account that does not exist is absent. A replica
 * must never answer this: what it says is filled into the cache (`read the primary` in test/balance-model).
 */
export async function loadBalances(
  database: Database,
  accounts: readonly AccountKey[],
  deadline: Deadline,
): Promise<Map<string, CachedBalance>> {
  const merchantIds = [...new Set(accounts.map(({ merchantId }) => merchantId))];
  const rows = await database.read<Row>({ merchantIds }, deadline, {
    ...LOAD_BALANCES,
    values: [
      int8Array(accounts.map(({ merchantId }) => merchantId)),
      int8Array(accounts.map(({ accountId }) => accountId)),
    ],
  });
  return new Map(
    rows.map((row) => [
      cacheKey({ merchantId: row.merchant_id, accountId: row.account_id }),
      {
        version: row.version,
        postedDebits: row.posted_debits,
        postedCredits: row.posted_credits,
        pendingDebits: row.pending_debits,
        pendingCredits: row.pending_credits,
        asOfMs: row.as_of,
      },
    ]),
  );
}
