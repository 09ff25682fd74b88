import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import { BALANCE_FENCES, NO_FENCES } from '#ledger/writing/balance-fences.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsMetrics } from '#platform/room-hooks.js';
import { BALANCE_CACHE, type BalanceCache, openBalanceCache } from './balance-cache.js';
import { addBalanceMetrics } from './balance-metrics.js';
import { GetBalanceHandler } from './get-balance.query.js';
import type { BalancesSettings } from './settings.js';

/** The cached read side: the fences that every writer needs, and reads of balances. Without REDIS_URL all is the database's. */
@Global()
@Module({
  providers: [
    GetBalanceHandler,
    {
      provide: AccountDirectory,
      useFactory: (database: Database) => new AccountDirectory(database),
      inject: [Database],
    },
    {
      provide: BALANCE_CACHE,
      useFactory: (database: Database, config: BalancesSettings) =>
        config.redisUrl === undefined ? undefined : openBalanceCache(config.redisUrl, config, database),
      inject: [Database, CONFIG],
    },
    {
      provide: BALANCE_FENCES,
      useFactory: (cache: BalanceCache | undefined) => cache?.fences ?? NO_FENCES,
      inject: [BALANCE_CACHE],
    },
  ],
  exports: [AccountDirectory, BALANCE_CACHE, BALANCE_FENCES],
})
export class BalancesModule implements OnApplicationShutdown, BringsMetrics {
  constructor(@Inject(BALANCE_CACHE) private readonly cache: BalanceCache | undefined) {}

  addMetrics(metrics: Metrics): void {
    if (this.cache) addBalanceMetrics(metrics, this.cache);
  }

  /** The writer has ended in the hook before. */
  async onApplicationShutdown(): Promise<void> {
    await this.cache?.close();
  }
}
