import { Inject, Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService } from '@nestjs/core';
import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { RelayTarget } from '#outbox/relay/relay.js';
import type { BringsRelayTargets } from '#outbox/room.js';
import { CHECKS } from '#platform/checks.module.js';
import { Deadline } from '#platform/deadline.js';
import type { DueWork } from '#platform/due-work.js';
import type { DutyPlan } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import { labelled, type Metrics } from '#platform/metrics.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { Queues } from '#platform/queues.js';
import { type BringsDuties, type BringsMetrics, type BringsOutsideChecks, whoHas } from '#platform/room-hooks.js';
import type { Check } from '#platform/verify.js';
import { InternalReports } from './internal/begin.js';
import { InternalCheck } from './internal/internal-check.js';
import { LateFacts } from './jobs/late-facts.js';
import { lateFacts, reportsToLookAt } from './jobs/look-again.js';
import { OpenBreaks } from './jobs/open-breaks.js';
import { ReportMatcher } from './jobs/report-matcher.js';
import { ReportQueue } from './jobs/report-queue.js';
import { ReportWorker } from './jobs/report-worker.js';
import { lookAfterReports } from './jobs/reports-left.js';
import type { Matching } from './matching/match-report.js';
import { ReconciliationModule } from './reconciliation.module.js';
import { forgetReports, type Retention } from './retention/forget-reports.js';
import type { ReconciliationSettings } from './settings.js';

const LOOK_INTERVAL_MS = 10_000;
const DAY_MS = 86_400_000;
/** Reports are kept for days: an hour later is all the same. */
const FORGET_INTERVAL_MS = 3_600_000;

/** Matches reports, ends those that were given up, and holds our own books against themselves. Needs `checksModule`. */
@Module({ imports: [DiscoveryModule, ReconciliationModule] })
export class ReconciliationWorkerModule
  implements OnApplicationBootstrap, OnModuleDestroy, BringsDuties, BringsMetrics, BringsRelayTargets
{
  readonly #matcher: ReportMatcher;
  readonly #worker: ReportWorker;
  readonly #again: DueWork;
  readonly #late: DueWork;
  readonly #internal: InternalCheck;
  readonly #internalReports: InternalReports;
  readonly #breaks: OpenBreaks;
  #queues: Queues | undefined;
  #isStopping = false;

  constructor(
    @Inject(CONFIG) private readonly config: ReconciliationSettings,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly database: Database,
    private readonly queue: ReportQueue,
    private readonly discovery: DiscoveryService,
    @Inject(CHECKS) checks: readonly Check[],
    ids: SnowflakeGenerator,
  ) {
    const stepDeadline = () => this.#stepDeadline();
    const matching = matchingOf(config, database, ids);
    const offenders = config.reconciliationCheckBreaks;
    const inspectors = { database, logger, checks, outside: () => this.#outsideChecks(), offenders };
    const timeoutMs = config.reconciliationCheckTimeoutMs;
    this.#internal = new InternalCheck(matching, inspectors, { timeoutMs, stepDeadline });
    const pace = { atOnce: config.reconciliationCheckMerchants, soonMs: config.reconciliationIntervalMs };
    this.#internalReports = new InternalReports({ database, ids, queue, stepDeadline }, pace);
    const isStopping = () => this.#isStopping;
    this.#matcher = new ReportMatcher(matching, {
      stepDeadline,
      isStopping,
      turnChunks: config.reconciliationTurnChunks,
      internal: this.#internal,
    });
    this.#worker = new ReportWorker(this.#matcher, queue, logger, {
      concurrency: config.reconciliationConcurrency,
      jobLockMs: config.reconciliationJobLockMs,
      tries: config.reconciliationTries,
    });
    this.#again = reportsToLookAt(matching, logger);
    this.#late = lateFacts(matching, logger);
    this.#breaks = new OpenBreaks(database);
  }

  duties(): readonly DutyPlan[] {
    const { config, database, queue } = this;
    const parts = {
      database,
      queue,
      silenceMs: config.reconciliationSilenceMs,
      stepDeadline: () => this.#stepDeadline(),
    };
    const look = {
      name: 'look after reports',
      intervalMs: config.reconciliationIntervalMs,
      round: () => lookAfterReports(parts),
    };
    const again = {
      name: 'look at reports again',
      intervalMs: config.reconciliationIntervalMs,
      nextInMs: () => this.#again.nextInMs,
      round: () => this.#again.round(),
    };
    const late = {
      name: 'look at what became known late',
      intervalMs: config.reconciliationIntervalMs,
      nextInMs: () => this.#late.nextInMs,
      round: () => this.#late.round(),
    };
    const internal = {
      name: 'begin checks of settled merchants',
      intervalMs: config.reconciliationCheckIntervalMs,
      nextInMs: () => this.#internalReports.nextInMs,
      round: () => this.#internalReports.round(),
    };
    const count = { name: 'count breaks', intervalMs: LOOK_INTERVAL_MS, round: () => this.#breaks.look() };
    const forget = {
      name: 'forget reports',
      intervalMs: FORGET_INTERVAL_MS,
      round: () => forgetReports(database, retentionOf(config), systemClock.now()),
    };
    return [
      look,
      again,
      late,
      forget,
      ...(config.redisQueueUrl === undefined ? [] : [internal]),
      ...(config.metricsPort === 0 ? [] : [count]),
    ];
  }

  relayTargets(): readonly RelayTarget[] {
    return [new LateFacts(this.database, this.config.reconciliationLateMs)];
  }

  addMetrics(metrics: Metrics): void {
    this.#breaks.addMetrics(metrics);
    metrics.counter(
      'counterfoil_reconciliation_turns_total',
      'Turns of reports that were matched here by how they ended; more: after RECONCILIATION_TURN_CHUNKS others are next; left: for another worker, or another had completed it; given_up: the last of RECONCILIATION_TRIES failed.',
      () => labelled('outcome', this.#worker.turns),
    );
    metrics.histogram(
      'counterfoil_reconciliation_turn_seconds',
      'How long those turns took, failed ones included.',
      () => this.#worker.durations,
    );
    metrics.counter(
      'counterfoil_reconciliation_rows_total',
      'Rows of reports that were matched here, or found to be in no match.',
      () => this.#matcher.rows,
    );
    metrics.counter(
      'counterfoil_internal_reports_total',
      'Checks of merchants’ books that were begun here, as their days had been settled.',
      () => this.#internalReports.begun,
    );
    metrics.counter(
      'counterfoil_internal_offences_total',
      'What such checks have found wrong here; each time that it is found.',
      () => this.#internal.offences,
    );
  }

  onApplicationBootstrap(): void {
    const { redisQueueUrl, databaseRuntimeUrl } = this.config;
    if (redisQueueUrl === undefined) {
      this.logger.warn('without REDIS_QUEUE_URL no report is matched here');
      return;
    }
    this.#queues = new Queues(redisQueueUrl, databaseRuntimeUrl, this.logger);
    this.#worker.start(this.#queues);
  }

  /** What is not matched by then goes on in another worker. */
  async onModuleDestroy(): Promise<void> {
    this.#isStopping = true;
    await this.#queues?.close(this.config.shutdownGraceMs / 2);
  }

  #outsideChecks() {
    return whoHas<BringsOutsideChecks>(this.discovery, 'outsideChecks').flatMap((room) => room.outsideChecks());
  }

  #stepDeadline(): Deadline {
    return Deadline.after(this.config.reconciliationStepTimeoutMs);
  }
}

function retentionOf(config: ReconciliationSettings): Retention {
  return {
    reportsMs: config.reconciliationRetentionDays * DAY_MS,
    badRowsMs: config.reconciliationBadRowRetentionDays * DAY_MS,
    checksMs: config.reconciliationCheckRetentionDays * DAY_MS,
  };
}

function matchingOf(config: ReconciliationSettings, database: Database, ids: SnowflakeGenerator): Matching {
  const rules = {
    amountTolerance: BigInt(config.reconciliationAmountTolerance),
    feeTolerance: BigInt(config.reconciliationFeeTolerance),
    dateToleranceDays: config.reconciliationDateToleranceDays,
  };
  const { reconciliationChunkRows: chunkRows, reconciliationBreaksAtOnce: breaksAtOnce } = config;
  return { database, ids, rules, chunkRows, breaksAtOnce };
}
