import { type DynamicModule, Inject, Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CommandBus, CqrsModule } from '@nestjs/cqrs';
import { BALANCE_CACHE, type BalanceCache } from '#balances/balance-cache.js';
import { BalancesModule } from '#balances/balances.module.js';
import { systemClock } from '#kernel/clock.js';
import { expireDueHolds } from '#ledger/expiry.js';
import { LedgerModule } from '#ledger/ledger.module.js';
import { purgeIdempotencyKeys, purgeWriteFences } from '#ledger/purge.js';
import { writerOptionsOf } from '#ledger/writer-options.js';
import type { Config } from '#platform/config.js';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER, PlatformModule, type PlatformOptions } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { Duty } from './duty.js';

const HOUR_MS = 3_600_000;
/** Readers of a fenced account start its sweep themselves; the rounds find what nobody reads. */
const SWEEP_INTERVAL_MS = 5_000;
/** Keys and tokens are kept for a day or more: an hour later or earlier is all the same. */
const PURGE_INTERVAL_MS = HOUR_MS;

/** Everything that runs by itself. Any number of workers may run: every duty is safe to do twice at once. */
@Module({})
export class WorkerModule implements OnApplicationBootstrap, OnModuleDestroy {
  #duties: Duty[] = [];

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly database: Database,
    private readonly commands: CommandBus,
    @Inject(BALANCE_CACHE) readonly cache: BalanceCache | undefined,
  ) {}

  static with(platform: PlatformOptions): DynamicModule {
    const imports = [
      CqrsModule.forRoot(),
      PlatformModule.with(platform),
      BalancesModule.with(platform.config),
      LedgerModule.with(writerOptionsOf(platform.config)),
    ];
    return { module: WorkerModule, imports };
  }

  onApplicationBootstrap(): void {
    const { cache, config, database, logger } = this;
    const retentionMs = config.idempotencyRetentionHours * HOUR_MS;
    this.#duties = [
      {
        name: 'expire holds',
        intervalMs: config.expiryIntervalMs,
        round: () => expireDueHolds(database, this.commands),
      },
      {
        name: 'purge idempotency keys',
        intervalMs: PURGE_INTERVAL_MS,
        round: () => purgeIdempotencyKeys(database, retentionMs, systemClock.now()),
      },
      {
        name: 'purge write fences',
        intervalMs: PURGE_INTERVAL_MS,
        round: () => purgeWriteFences(database, systemClock.now()),
      },
      ...(cache ? [{ name: 'sweep fences', intervalMs: SWEEP_INTERVAL_MS, round: () => cache.sweeper.round() }] : []),
    ].map((duty) => new Duty({ ...duty, logger }).start());
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(this.#duties.map((duty) => duty.stop()));
  }
}
