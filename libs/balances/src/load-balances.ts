import { readBalances } from '#ledger/accounts/balance-store.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { type AccountKey, type CachedBalance, cacheKey } from './cached-balance.js';

/**
 * Balances of any merchants' accounts from the primary, by `cacheKey`; an account that does not exist is absent. A replica
 * must never answer this: what it says is filled into the cache (`read the primary` in test/balance-model).
 */
export async function loadBalances(
  database: Database,
  accounts: readonly AccountKey[],
  deadline: Deadline,
): Promise<Map<string, CachedBalance>> {
  const balances = await readBalances(database, accounts, deadline);
  return new Map(
    balances.map((balance) => [
      cacheKey(balance),
      {
        version: balance.version,
        postedDebits: balance.postedDebits,
        postedCredits: balance.postedCredits,
        pendingDebits: balance.pendingDebits,
        pendingCredits: balance.pendingCredits,
        asOfMs: balance.asOfMs,
      },
    ]),
  );
}
