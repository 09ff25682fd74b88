import { Inject, Module } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { dutiesOf } from '#platform/due-duties.js';
import type { DueWork } from '#platform/due-work.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties, BringsMetrics } from '#platform/room-hooks.js';
import { holdExpiry } from './duties/expiry.js';
import { purgeIdempotencyKeys, purgeWriteFences } from './duties/purge.js';
import { completeSystemAccounts, type Mender } from './duties/system-accounts.js';
import type { LedgerSettings } from './settings.js';

const HOUR_MS = 3_600_000;
/** Keys and tokens are kept for a day or more: an hour later or earlier is all the same. */
const PURGE_INTERVAL_MS = HOUR_MS;
/** The first round is at once; what a process of the version before opens later waits that long, or for whoever needs it. */
const COMPLETE_INTERVAL_MS = HOUR_MS;

/** Holds that expire, system accounts that merchants lack, and what is purged. */
@Module({})
export class LedgerWorkerModule implements BringsDuties, BringsMetrics {
  readonly #expiries: DueWork;
  readonly #mender: Mender;
  #hasCompleted = false;

  constructor(
    @Inject(CONFIG) private readonly config: LedgerSettings,
    @Inject(LOGGER) logger: Logger,
    private readonly database: Database,
    commands: CommandBus,
    ids: SnowflakeGenerator,
  ) {
    this.#expiries = holdExpiry(database, commands, logger);
    this.#mender = { database, ids, commands, logger };
  }

  duties(): readonly DutyPlan[] {
    const { config, database } = this;
    const retentionMs = config.idempotencyRetentionHours * HOUR_MS;
    return [
      ...dutiesOf({ 'expire holds': this.#expiries }, config.expiryIntervalMs),
      {
        name: 'complete system accounts',
        intervalMs: COMPLETE_INTERVAL_MS,
        nextInMs: () => (this.#hasCompleted ? undefined : 0),
        round: async () => {
          await completeSystemAccounts(this.#mender);
          this.#hasCompleted = true;
        },
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
    ];
  }

  addMetrics(metrics: Metrics): void {
    metrics.counter(
      'counterfoil_expiry_failures_total',
      'Holds that could not be expired.',
      () => this.#expiries.failures,
    );
  }
}
