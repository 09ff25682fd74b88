import { Inject, Module } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import { systemClock } from '#kernel/clock.js';
import type { DueWork } from '#platform/due-work.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties, BringsMetrics } from '#platform/room-hooks.js';
import { holdExpiry } from './duties/expiry.js';
import { purgeIdempotencyKeys, purgeWriteFences } from './duties/purge.js';
import type { LedgerSettings } from './settings.js';

const HOUR_MS = 3_600_000;
/** Keys and tokens are kept for a day or more: an hour later or earlier is all the same. */
const PURGE_INTERVAL_MS = HOUR_MS;

/** Holds that expire, and what is purged. */
@Module({})
export class LedgerWorkerModule implements BringsDuties, BringsMetrics {
  readonly #expiries: DueWork;

  constructor(
    @Inject(CONFIG) private readonly config: LedgerSettings,
    @Inject(LOGGER) logger: Logger,
    private readonly database: Database,
    commands: CommandBus,
  ) {
    this.#expiries = holdExpiry(database, commands, logger);
  }

  duties(): readonly DutyPlan[] {
    const { config, database } = this;
    const retentionMs = config.idempotencyRetentionHours * HOUR_MS;
    return [
      {
        name: 'expire holds',
        intervalMs: config.expiryIntervalMs,
        nextInMs: () => this.#expiries.nextInMs,
        round: () => this.#expiries.round(),
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
