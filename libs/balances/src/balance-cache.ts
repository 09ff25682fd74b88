import { systemClock } from '#kernel/clock.js';
import type { Database } from '#platform/postgres.js';
import { CacheClient, type CacheState } from './cache-client.js';
import { DatabaseReads } from './database-reads.js';
import { CacheFences } from './fences.js';
import { loadBalances } from './load-balances.js';
import { PendingInvalidations } from './pending-invalidations.js';
import { BalanceReader } from './read-balance.js';
import type { BalancesSettings } from './settings.js';
import { Sweeper } from './sweeper.js';

/** Injection token: a `BalanceCache`, or undefined without REDIS_URL. */
export const BALANCE_CACHE = Symbol('BalanceCache');

/** One process' share of the balance cache. */
export interface BalanceCache {
  readonly fences: CacheFences;
  readonly reader: BalanceReader;
  readonly sweeper: Sweeper;
  readonly databaseReads: DatabaseReads;
  readonly client: CacheClient;
  /** For `/readyz` and metrics. Degraded is not unready: reads go to the database, writes go on. */
  state(): CacheState & { pendingInvalidations: number; databaseReadsWaiting: number };
  /** After the writer has ended. */
  close(): Promise<void>;
}

/** `url`: Redis in the cache role. */
export function openBalanceCache(url: string, config: BalancesSettings, database: Database): BalanceCache {
  const ttlMs = config.balanceTtlMs;
  const client = new CacheClient({
    url,
    timeoutMs: config.balanceRedisTimeoutMs,
    connectionName: 'counterfoil-balances',
  });
  const pending = new PendingInvalidations(client, { ttlMs, policy: config.cacheWritePolicy, clock: systemClock });
  const reads = new DatabaseReads((accounts, deadline) => loadBalances(database, accounts, deadline), {
    concurrency: config.balanceDatabaseReads,
    queue: config.balanceDatabaseQueue,
  });
  const sweeper = new Sweeper(client, database, { ttlMs, sweepAfterMs: config.balanceSweepAfterMs });
  const reader = new BalanceReader(
    { client, pending, database: reads, sweeper },
    {
      ttlMs,
      leaseWaitMs: config.balanceLeaseWaitMs,
      l1MaxAgeMs: config.balanceL1MaxAgeMs,
      earlyRefresh: config.balanceEarlyRefresh,
    },
  );
  return {
    fences: new CacheFences(client, pending, { ttlMs }),
    reader,
    sweeper,
    databaseReads: reads,
    client,
    state: () => ({ ...client.state, pendingInvalidations: pending.size, databaseReadsWaiting: reads.waiting }),
    close: async () => {
      pending.close();
      await sweeper.idle();
      await client.close();
    },
  };
}
