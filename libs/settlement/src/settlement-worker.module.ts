import { Inject, Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Deadline } from '#platform/deadline.js';
import type { DutyPlan } from '#platform/duty.js';
import { JobRuns } from '#platform/job-runs.js';
import type { Logger } from '#platform/logging.js';
import type { Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { Queues } from '#platform/queues.js';
import type { BringsDuties, BringsMetrics } from '#platform/room-hooks.js';
import { CalendarWorkerModule } from './calendar-worker.module.js';
import { makeDueRuns } from './runs/due-runs.js';
import { NightQueue } from './runs/night-queue.js';
import { NightWorker } from './runs/night-worker.js';
import { purgeRuns } from './runs/purge-runs.js';
import { queuedRanges } from './runs/range-store.js';
import { addRunMetrics } from './runs/run-metrics.js';
import type { SettlementSettings } from './settings.js';
import { SettlementModule } from './settlement.module.js';
import { Settler } from './settler.js';

/** Ranges whose jobs are made sure of in one look: more are in a later one's. */
const RANGES_OF_LOOK = 10_000;
const DAY_MS = 86_400_000;
/** Runs are kept for days: an hour later is all the same. */
const PURGE_INTERVAL_MS = 3_600_000;

/** Settles: what was asked for, and what is due. */
@Module({ imports: [SettlementModule, CalendarWorkerModule] })
export class SettlementWorkerModule implements OnApplicationBootstrap, OnModuleDestroy, BringsDuties, BringsMetrics {
  readonly #worker: NightWorker;
  #queues: Queues | undefined;
  #hasSchedule = false;

  constructor(
    @Inject(CONFIG) private readonly config: SettlementSettings,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly database: Database,
    private readonly queue: NightQueue,
    private readonly ids: SnowflakeGenerator,
    private readonly settler: Settler,
    jobs: JobRuns,
  ) {
    this.#worker = new NightWorker(
      { database, settler, jobs, logger, look: (deadline) => this.#look(deadline) },
      {
        everyMs: config.settlementIntervalMs,
        concurrency: config.settlementConcurrency,
        jobLockMs: config.settlementJobLockMs,
        rangeTimeoutMs: config.settlementRangeTimeoutMs,
      },
    );
  }

  duties(): readonly DutyPlan[] {
    const { database, config } = this;
    const purge = {
      name: 'purge settlement runs',
      intervalMs: PURGE_INTERVAL_MS,
      round: () => purgeRuns(database, config.settlementRunRetentionDays * DAY_MS, systemClock.now()),
    };
    if (config.redisQueueUrl === undefined) return [purge];
    return [
      purge,
      {
        name: 'keep the schedule of the night',
        intervalMs: config.settlementIntervalMs,
        nextInMs: () => (this.#hasSchedule ? undefined : 0),
        round: () => this.#keepSchedule(),
      },
    ];
  }

  addMetrics(metrics: Metrics): void {
    addRunMetrics(metrics, this.#worker, this.settler);
  }

  onApplicationBootstrap(): void {
    const { redisQueueUrl, databaseRuntimeUrl } = this.config;
    if (redisQueueUrl === undefined) {
      this.logger.warn('without REDIS_QUEUE_URL nothing is settled here');
      return;
    }
    this.#queues = new Queues(redisQueueUrl, databaseRuntimeUrl, this.logger);
    this.#worker.start(this.#queues);
  }

  /** Before the ledger stops: what is not settled by then goes on in another worker. */
  async onModuleDestroy(): Promise<void> {
    await this.#queues?.close(this.config.shutdownGraceMs / 2);
  }

  async #keepSchedule(): Promise<void> {
    await this.queue.keepSchedule(this.config.settlementIntervalMs);
    this.#hasSchedule = true;
  }

  /** Jobs that Redis has lost are made again with those of new runs. */
  async #look(deadline: Deadline): Promise<void> {
    const { database, ids, config } = this;
    await makeDueRuns({ database, ids, rangeMerchants: config.settlementRangeMerchants }, deadline);
    for (const { runId, ranges, traceContext } of await queuedRanges(database, RANGES_OF_LOOK, deadline)) {
      await this.queue.add(runId, ranges, traceContext ?? undefined);
    }
  }
}
