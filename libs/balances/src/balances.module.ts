import { type DynamicModule, Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { AccountDirectory } from '#ledger/account-directory.js';
import { BALANCE_GUARD, NO_GUARD } from '#ledger/balance-guard.js';
import type { Config } from '#platform/config.js';
import { Database } from '#platform/postgres.js';
import { BALANCE_CACHE, type BalanceCache, openBalanceCache } from './balance-cache.js';
import { GetBalanceHandler } from './get-balance.query.js';

/** The cached read side: the guard that every writer needs, and reads of balances. Without REDIS_URL all is the database's. */
@Global()
@Module({})
export class BalancesModule implements OnApplicationShutdown {
  constructor(@Inject(BALANCE_CACHE) private readonly cache: BalanceCache | undefined) {}

  static with(config: Config): DynamicModule {
    return {
      module: BalancesModule,
      imports: [CqrsModule],
      providers: [
        GetBalanceHandler,
        {
          provide: AccountDirectory,
          useFactory: (database: Database) => new AccountDirectory(database),
          inject: [Database],
        },
        {
          provide: BALANCE_CACHE,
          useFactory: (database: Database) =>
            config.redisUrl === undefined ? undefined : openBalanceCache(config.redisUrl, config, database),
          inject: [Database],
        },
        {
          provide: BALANCE_GUARD,
          useFactory: (cache: BalanceCache | undefined) => cache?.guard ?? NO_GUARD,
          inject: [BALANCE_CACHE],
        },
      ],
      exports: [AccountDirectory, BALANCE_CACHE, BALANCE_GUARD],
    };
  }

  /** The writer has ended in the hook before. */
  async onApplicationShutdown(): Promise<void> {
    await this.cache?.close();
  }
}
