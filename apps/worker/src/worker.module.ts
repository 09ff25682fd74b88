import { type DynamicModule, Inject, Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { CommandBus, CqrsModule } from '@nestjs/cqrs';
import { BALANCE_CACHE, type BalanceCache } from '#balances/balance-cache.js';
import { addBalanceMetrics, addMonitorMetrics } from '#balances/balance-metrics.js';
import { BalancesModule } from '#balances/balances.module.js';
import { BalanceInvalidation } from '#balances/invalidation.js';
import { BalanceMonitor } from '#balances/monitor.js';
import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { holdExpiry } from '#ledger/expiry.js';
import { LedgerModule } from '#ledger/ledger.module.js';
import { purgeIdempotencyKeys, purgeWriteFences } from '#ledger/purge.js';
import { Writer } from '#ledger/writer.js';
import { writerOptionsOf } from '#ledger/writer-options.js';
import { CommitHints } from '#outbox/commit-hints.js';
import type { ProcessOptions } from '#outbox/handler-process.js';
import type { HintReceiver } from '#outbox/hint.js';
import { Outbox } from '#outbox/outbox.js';
import { OutboxModule } from '#outbox/outbox.module.js';
import { forgetEvents } from '#outbox/retention.js';
import type { Config } from '#platform/config.js';
import type { DueWork } from '#platform/due-work.js';
import type { Logger } from '#platform/logging.js';
import { Metrics } from '#platform/metrics.js';
import { MetricsServer } from '#platform/metrics-server.js';
import { CONFIG, LOGGER, PlatformModule, type PlatformOptions } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import { endAbandonedRebuilds } from '#summaries/rebuild-store.js';
import { DueHints, receiveDueHints } from '#webhooks/due-hints.js';
import { WebhookFanOut } from '#webhooks/fan-out.js';
import { openWebhookSender } from '#webhooks/open-sender.js';
import { purgeWebhooks } from '#webhooks/purge.js';
import type { WebhookSender } from '#webhooks/sender.js';
import { addWebhookMetrics, WebhookBacklog } from '#webhooks/webhook-metrics.js';
import { CONSUMERS } from './consumers.js';
import { Duty } from './duty.js';

const HOUR_MS = 3_600_000;
/** Readers of a fenced account start its sweep themselves; the rounds find what nobody reads. */
const SWEEP_INTERVAL_MS = 5_000;
/** Keys and tokens are kept for a day or more: an hour later or earlier is all the same. */
const PURGE_INTERVAL_MS = HOUR_MS;
const WEBHOOK_BACKLOG_INTERVAL_MS = 10_000;

/** Injection token: where the consumers' processes begin. */
const CONSUMER_PROCESS = Symbol('ConsumerProcess');
export type ConsumerProcess = Pick<ProcessOptions, 'entry' | 'execArgv'>;
const COMPILED_PROCESS: ConsumerProcess = { entry: new URL('./consumer-process.js', import.meta.url) };

/** Everything that runs by itself. Any number of workers may run: every duty is safe to do twice at once. */
@Module({})
export class WorkerModule implements OnApplicationBootstrap, OnModuleDestroy {
  #duties: Duty[] = [];
  #metrics: MetricsServer | undefined;
  #webhooks: WebhookSender | undefined;
  #dueHints: { sender: DueHints; receiver: HintReceiver | undefined } | undefined;
  #outbox: Outbox | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly database: Database,
    private readonly commands: CommandBus,
    private readonly writer: Writer,
    @Inject(BALANCE_CACHE) readonly cache: BalanceCache | undefined,
    @Inject(CONSUMER_PROCESS) private readonly process: ConsumerProcess,
    private readonly ids: SnowflakeGenerator,
    private readonly hints: CommitHints,
  ) {}

  /** `process`: tests run the sources. */
  static with(platform: PlatformOptions, process: ConsumerProcess = COMPILED_PROCESS): DynamicModule {
    const imports = [
      CqrsModule.forRoot(),
      PlatformModule.with(platform),
      BalancesModule.with(platform.config),
      OutboxModule.with(platform.config),
      LedgerModule.with(writerOptionsOf(platform.config)),
    ];
    return { module: WorkerModule, imports, providers: [{ provide: CONSUMER_PROCESS, useValue: process }] };
  }

  async onApplicationBootstrap(): Promise<void> {
    const { cache, config, database, logger } = this;
    const monitor =
      cache &&
      new BalanceMonitor(
        { client: cache.client, database, logger },
        { ttlMs: config.balanceTtlMs, sample: config.balanceMonitorSample },
      );
    const webhooks = openWebhookSender(database, config.webhooks, logger);
    this.#webhooks = webhooks;
    const due = new DueHints(config);
    this.#dueHints = { sender: due, receiver: receiveDueHints(config, logger, () => webhooks.wake()) };
    const backlog = new WebhookBacklog(database);
    const expiries = holdExpiry(database, this.commands, logger);
    const outbox = new Outbox({
      config,
      database,
      ids: this.ids,
      logger,
      targets: cache ? [new BalanceInvalidation(cache.client, database, { ttlMs: config.balanceTtlMs })] : [],
      consumers: CONSUMERS,
      process: this.process,
      onApplied: (consumer) => {
        if (consumer !== WebhookFanOut.NAME) return;
        webhooks.wake();
        due.send();
      },
    });
    this.#outbox = outbox;
    // First: a port that is taken ends the start before anything is at work.
    if (config.metricsPort > 0)
      this.#metrics = await this.#serveMetrics(
        outbox,
        { sender: webhooks, backlog, nowMs: () => systemClock.now() },
        expiries,
        monitor,
      );
    const retentionMs = config.idempotencyRetentionHours * HOUR_MS;
    this.#duties = [
      {
        name: 'expire holds',
        intervalMs: config.expiryIntervalMs,
        nextInMs: () => expiries.nextInMs,
        round: () => expiries.round(),
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
      {
        name: 'forget old events',
        intervalMs: PURGE_INTERVAL_MS,
        round: async () => {
          await endAbandonedRebuilds(database);
          await forgetEvents(database, config.outbox.eventRetentionDays, systemClock.now());
        },
      },
      { name: 'send webhooks', intervalMs: config.webhooks.pollMs, round: () => webhooks.round() },
      {
        name: 'purge webhook deliveries',
        intervalMs: PURGE_INTERVAL_MS,
        round: () => purgeWebhooks(database, config.webhooks.retentionMs, systemClock.now()),
      },
      ...(this.#metrics
        ? [
            {
              name: 'count webhooks that are due',
              intervalMs: WEBHOOK_BACKLOG_INTERVAL_MS,
              round: () => backlog.look(),
            },
          ]
        : []),
      ...outbox.duties,
      ...(cache && monitor
        ? [
            { name: 'sweep fences', intervalMs: SWEEP_INTERVAL_MS, round: () => cache.sweeper.round() },
            {
              name: 'compare the balance cache with the ledger',
              intervalMs: config.balanceMonitorIntervalMs,
              round: () => monitor.round(),
            },
          ]
        : []),
    ].map((duty) => new Duty({ ...duty, logger }).start());
    webhooks.start();
    this.hints.listen(() => outbox.hint());
    await outbox.start();
  }

  #serveMetrics(
    outbox: Outbox,
    webhooks: Parameters<typeof addWebhookMetrics>[1],
    expiries: DueWork,
    monitor: BalanceMonitor | undefined,
  ): Promise<MetricsServer> {
    const { cache, config, database, writer } = this;
    const metrics = new Metrics();
    metrics.gauge(
      'counterfoil_writer_waiting',
      'Postings that wait for their commit group, or for their balances to be told.',
      () => writer.waiting,
    );
    metrics.counter('counterfoil_expiry_failures_total', 'Holds that could not be expired.', () => expiries.failures);
    metrics.gauge('counterfoil_database_pool_waiting', 'Who waits for a connection.', () => database.waiting);
    if (cache) addBalanceMetrics(metrics, cache);
    if (monitor) addMonitorMetrics(metrics, monitor);
    addWebhookMetrics(metrics, webhooks);
    outbox.addMetrics(metrics);
    return MetricsServer.listen(metrics, { host: config.host, port: config.metricsPort, allow: config.metricsAllow });
  }

  async onModuleDestroy(): Promise<void> {
    this.#dueHints?.receiver?.close();
    this.#dueHints?.sender.onApplicationShutdown();
    await Promise.all([this.#metrics?.close(), this.#webhooks?.stop(), ...this.#duties.map((duty) => duty.stop())]);
    await this.#outbox?.stop(this.config.shutdownGraceMs / 2);
  }
}
