import { randomUUID } from 'node:crypto';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import type { Labels, Metrics } from '#platform/metrics.js';
import type { Database } from '#platform/postgres.js';
import { Queues } from '#platform/queues.js';
import type { ApplierOptions } from './consumers/batch-applier.js';
import type { Consumer } from './consumers/consumer.js';
import { ConsumerHost } from './consumers/consumer-host.js';
import { ConsumerQueue } from './consumers/consumer-queue.js';
import { HandlerProcess, type ProcessOptions } from './consumers/handler-process.js';
import type { Reactions } from './consumers/reactions.js';
import { OwnProcess, type TaskRunner, Tasks } from './consumers/task.js';
import { HintReceiver } from './log/hints.js';
import { JoinedStore } from './relay/joined-store.js';
import { Relay, type RelayTarget } from './relay/relay.js';
import { RelayLease } from './relay/relay-lease.js';
import { type Backlog, RelayStore } from './relay/relay-store.js';
import { XminMonitor } from './relay/xmin-monitor.js';
import type { OutboxSettings } from './settings.js';

export interface OutboxParts {
  config: OutboxSettings;
  database: Database;
  ids: SnowflakeGenerator;
  logger: Logger;
  /** What the relay reaches without a queue. */
  targets: readonly RelayTarget[];
  /** What is applied from BullMQ jobs. Without REDIS_QUEUE_URL they stand still. */
  consumers: readonly Consumer[];
  process: Pick<ProcessOptions, 'entry' | 'execArgv'>;
  /** The same, in this process. */
  reactions?: readonly Reactions[];
  /** Told, once it is committed, that a consumer has applied something here. */
  onApplied?: (consumer: string, merchantIds?: readonly bigint[]) => void;
}

const DEAD_LETTERS = `
SELECT consumer, status, count(*)::int AS count FROM dead_letters GROUP BY consumer, status`;
const MEASURE_DEADLINE_MS = 5_000;
/** The deadline within a consumer's process goes first. */
const SILENCE_MARGIN_MS = 1_000;

/** Everything of the log that runs by itself in a worker: relays, consumers, redrives, and what watches over them. */
export class Outbox {
  readonly #parts: OutboxParts;
  readonly #store: RelayStore;
  readonly #lease: RelayLease;
  readonly #xminMonitor: XminMonitor;
  readonly #relays: Relay[];
  readonly #queues: ConsumerQueue[] = [];
  readonly #hosts: ConsumerHost[] = [];
  readonly #bull: Queues | undefined;
  #hints: HintReceiver | undefined;
  #backlogs: ReadonlyMap<string, Backlog> = new Map();
  #deadLetters: [Labels, number][] = [];

  constructor(parts: OutboxParts) {
    this.#parts = parts;
    const { config, database, logger } = parts;
    this.#store = new RelayStore(database);
    this.#lease = new RelayLease(database, config.relayLeaseMs);
    this.#xminMonitor = new XminMonitor(database, logger, config.relayMaxHoldMs);
    if (config.redisQueueUrl) {
      this.#bull = new Queues(config.redisQueueUrl, config.databaseRuntimeUrl, logger);
      this.#openConsumers(this.#bull);
    } else logger.warn('without REDIS_QUEUE_URL no consumer of events works here');
    const { relayBusyMs: busyMs, relayIdleMs: idleMs, relayResendMs: resendMs } = config;
    const relayParts = { store: new JoinedStore(this.#store), lease: this.#lease, logger };
    this.#relays = [...parts.targets, ...this.#queues].map(
      (target) => new Relay(target, relayParts, { busyMs, idleMs, resendMs }),
    );
  }

  /** BullMQ's queues, for the board of operators. */
  get queues(): readonly ConsumerQueue[] {
    return this.#queues;
  }

  /** Rounds that each relay has made. */
  get rounds(): number[] {
    return this.#relays.map(({ counts }) => counts.rounds);
  }

  /** What is to be done again and again, at these intervals. */
  get duties(): { name: string; intervalMs: number; round: () => Promise<unknown> }[] {
    const { config } = this.#parts;
    return [
      {
        name: 'keep partitions of the log',
        intervalMs: config.relayLeaseMs / 4,
        round: () => this.#lease.renew(),
      },
      { name: 'watch the log', intervalMs: 1_000, round: () => this.#watch() },
      { name: 'carry out what was decided about dead letters', intervalMs: 1_000, round: () => this.#redrive() },
    ];
  }

  async start(): Promise<void> {
    await this.#lease.renew().catch(() => undefined);
    for (const host of this.#hosts) host.start();
    for (const relay of this.#relays) relay.start();
    this.#hints = this.#receiveHints();
  }

  /** Something was committed. */
  hint(): void {
    for (const relay of this.#relays) relay.hint();
  }

  async stop(graceMs: number): Promise<void> {
    this.#hints?.close();
    await Promise.all(this.#relays.map((relay) => relay.stop()));
    await Promise.all(this.#hosts.map((host) => host.close(graceMs)));
    await this.#bull?.close();
    await this.#lease.release().catch(() => undefined);
  }

  addMetrics(metrics: Metrics): void {
    const perConsumer = (read: (backlog: Backlog) => number) => (): [Labels, number][] =>
      [...this.#backlogs].map(([consumer, backlog]) => [{ consumer }, read(backlog)]);
    metrics.gauge(
      'counterfoil_events_lag',
      'Events that a consumer has not got yet, at most 100 a partition.',
      perConsumer((backlog) => backlog.events),
    );
    metrics.gauge(
      'counterfoil_events_lag_seconds',
      'Age of the oldest of them.',
      perConsumer((backlog) => backlog.ageMs / 1_000),
    );
    metrics.gauge(
      'counterfoil_events_apart',
      'Merchants that go apart from their partition for a consumer, because they had too many events.',
      perConsumer((backlog) => backlog.apart),
    );
    metrics.gauge(
      'counterfoil_events_apart_lag_seconds',
      'Age of the oldest event that one of them waits for.',
      perConsumer((backlog) => backlog.apartAgeMs / 1_000),
    );
    metrics.gauge(
      'counterfoil_events_held_back_seconds',
      'How long the oldest open transaction has been seen to hold back the log.',
      () => this.#xminMonitor.ageMs / 1_000,
    );
    metrics.gauge(
      'counterfoil_relay_partitions',
      'Partitions of the log that this process relays.',
      () => this.#lease.epochs.size,
    );
    metrics.counter('counterfoil_relay_events_total', 'Events dispatched, repetitions included.', () =>
      this.#relays.map((relay) => [{ consumer: relay.consumer }, relay.counts.events]),
    );
    metrics.counter('counterfoil_relay_failures_total', 'Rounds of the relay that failed.', () =>
      this.#relays.map((relay) => [{ consumer: relay.consumer }, relay.counts.failures]),
    );
    metrics.counter(
      'counterfoil_relay_fenced_total',
      'Cursors that were not moved because the lease had been lost.',
      () => this.#relays.map((relay) => [{ consumer: relay.consumer }, relay.counts.fenced]),
    );
    metrics.counter(
      'counterfoil_relay_resent_total',
      'Batches that were dispatched again, because they had not been applied in time.',
      () => this.#relays.map((relay) => [{ consumer: relay.consumer }, relay.counts.resent]),
    );
    metrics.counter(
      'counterfoil_relay_hint_failures_total',
      'Subscriptions to hints that failed: until one succeeds the relay finds events within RELAY_IDLE_MS.',
      () => this.#hints?.failures ?? 0,
    );
    metrics.gauge('counterfoil_queue_connected', '1 while the connection stands that jobs come by.', () =>
      this.#bull ? Number(this.#bull.isConnected) : [],
    );
    metrics.counter('counterfoil_consumer_jobs_total', 'Jobs begun here.', () =>
      this.#hosts.map((host) => [{ consumer: host.consumer }, host.counts.jobs]),
    );
    metrics.counter(
      'counterfoil_consumer_busy_total',
      'Jobs put off because another process was at work on the partition.',
      () => this.#hosts.map((host) => [{ consumer: host.consumer }, host.counts.busy]),
    );
    metrics.counter(
      'counterfoil_consumer_claims_lost_total',
      'Pages rolled back because another process had taken the partition meanwhile.',
      () => this.#hosts.map((host) => [{ consumer: host.consumer }, host.counts.claimsLost]),
    );
    metrics.counter('counterfoil_consumer_events_total', 'Events applied here.', () =>
      this.#hosts.map((host) => [{ consumer: host.consumer }, host.counts.events]),
    );
    metrics.histogram(
      'counterfoil_consumer_event_age_seconds',
      'How old events were when they had been applied here: from their commit on.',
      () => this.#hosts.map((host) => [{ consumer: host.consumer }, host.ages]),
    );
    metrics.counter('counterfoil_consumer_failures_total', 'Tries that failed.', () =>
      this.#hosts.map((host) => [{ consumer: host.consumer }, host.counts.failures]),
    );
    metrics.counter(
      'counterfoil_consumer_processes_lost_total',
      'Processes that their handler took along, or that had to be ended.',
      () => this.#hosts.map((host) => [{ consumer: host.consumer }, host.processesLost]),
    );
    metrics.gauge('counterfoil_dead_letters', 'Dead letters by what became of them.', () => this.#deadLetters);
  }

  #receiveHints(): HintReceiver | undefined {
    const { config, logger } = this.#parts;
    const url = config.redisUrl ?? config.redisQueueUrl;
    if (url === undefined) return undefined;
    return new HintReceiver(url, config.databaseRuntimeUrl, { onHint: () => this.hint(), logger });
  }

  #openConsumers(queues: Queues): void {
    const { config, consumers, database, reactions = [] } = this.#parts;
    const { consumerPage: pageEvents, consumerTries: maxTries, consumerTimeoutMs: timeoutMs } = config;
    const apart = { merchantEvents: config.consumerMerchantPage, turnEvents: config.relayStretch };
    const applier = { pageEvents, maxTries, timeoutMs, apart };
    for (const { name } of consumers) {
      this.#open({ name, from: 'beginning', runner: this.#processOf(name, applier), concurrency: 1 }, queues);
    }
    for (const one of reactions) {
      const runner = new OwnProcess(new Tasks(database, one, randomUUID(), applier));
      const { name, from } = one;
      this.#open({ name, from, runner, concurrency: config.reactorConcurrency }, queues);
    }
  }

  #processOf(consumer: string, applier: ApplierOptions): HandlerProcess {
    const { config, process } = this.#parts;
    const { databaseRuntimeUrl: databaseUrl, databaseConnectTimeoutMs: connectTimeoutMs } = config;
    const { otelExporterOtlpEndpoint: otlpEndpoint, traceSampleRatio: sampleRatio, traceSlowMs: slowMs } = config;
    const telemetry = { otlpEndpoint, sampleRatio, slowMs, serviceName: 'counterfoil-consumer' };
    return new HandlerProcess(
      { consumer, databaseUrl, connectTimeoutMs, applier, telemetry },
      { ...process, memoryMb: config.consumerMemoryMb, silenceMs: applier.timeoutMs + SILENCE_MARGIN_MS },
    );
  }

  #open(
    { name, from, runner, concurrency }: Pick<Reactions, 'name' | 'from'> & { runner: TaskRunner; concurrency: number },
    queues: Queues,
  ): void {
    const { config, database, ids, logger } = this.#parts;
    const { relayStretch: batchSize, consumerJobLockMs: jobLockMs, consumerPage: pageEvents } = config;
    if (this.#queues.some(({ consumer }) => consumer === name)) throw new Error(`two consumers are named ${name}`);
    this.#queues.push(new ConsumerQueue(name, queues, { batchSize, from }));
    this.#hosts.push(
      new ConsumerHost(
        name,
        {
          runner,
          queues,
          database,
          ids,
          logger,
          onApplied: (merchantIds) => this.#parts.onApplied?.(name, merchantIds),
        },
        { jobLockMs, pageEvents, concurrency },
      ),
    );
  }

  async #redrive(): Promise<void> {
    for (const host of this.#hosts) await host.redrive();
  }

  async #watch(): Promise<void> {
    await this.#store.enterEpoch();
    await this.#xminMonitor.round();
    this.#backlogs = await this.#store.backlog(this.#relays.map(({ consumer }) => consumer));
    const rows = await this.#parts.database.read<{ consumer: string; status: string; count: number }>(
      'platform',
      Deadline.after(MEASURE_DEADLINE_MS),
      { name: 'count-dead-letters', text: DEAD_LETTERS },
    );
    this.#deadLetters = rows.map(({ consumer, status, count }) => [{ consumer, status }, count]);
  }
}
