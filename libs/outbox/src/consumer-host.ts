import { ROOT_CONTEXT, TraceFlags, trace } from '@opentelemetry/api';
import { DelayedError, type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { spanTime, tracer } from '#platform/tracing.js';
import type { ApplierOptions, RunOutcome } from './batch-applier.js';
import { type BatchJob, queueName, upToOf } from './consumer-queue.js';
import { decidedLetters } from './dead-letter-store.js';
import { HandlerProcess, ProcessLost, type ProcessOptions } from './handler-process.js';
import { ConsumerPosition } from './position-store.js';
import { noteFailedRedrive } from './redriver.js';

/** A worker that is gone keeps its job for this long at most, twice: once until the lock ends, once until somebody looks. */
const JOB_LOCK_MS = 10_000;
/** When another process is at work on the partition, the job comes again. */
const BUSY_RETRY_MS = 200;
const REDRIVES = 50;
const STATEMENT_DEADLINE_MS = 5_000;
/** The process' own deadline goes first. */
const SILENCE_MARGIN_MS = 1_000;

export interface HostOptions {
  prefix: string;
  databaseUrl: string;
  connectTimeoutMs: number;
  applier: ApplierOptions;
  process: Pick<ProcessOptions, 'entry' | 'execArgv' | 'memoryMb'>;
}

/** Runs one consumer: BullMQ's jobs and operators' decisions, in a process of its own. */
export class ConsumerHost {
  readonly #consumer: string;
  readonly #database: Database;
  readonly #ids: SnowflakeGenerator;
  readonly #logger: Logger;
  readonly #process: HandlerProcess;
  readonly #worker: Worker<BatchJob>;
  readonly counts = { jobs: 0, events: 0, failures: 0, busy: 0, parked: 0 };

  constructor(
    consumer: string,
    parts: { connection: Redis; database: Database; ids: SnowflakeGenerator; logger: Logger },
    options: HostOptions,
  ) {
    this.#consumer = consumer;
    this.#database = parts.database;
    this.#ids = parts.ids;
    this.#logger = parts.logger;
    const { databaseUrl, connectTimeoutMs, applier } = options;
    this.#process = new HandlerProcess(
      { consumer, databaseUrl, connectTimeoutMs, applier },
      { ...options.process, silenceMs: applier.timeoutMs + SILENCE_MARGIN_MS },
    );
    this.#worker = new Worker<BatchJob>(queueName(consumer), (job, token) => this.#apply(job, token), {
      connection: parts.connection,
      prefix: options.prefix,
      concurrency: 1,
      lockDuration: JOB_LOCK_MS,
      stalledInterval: JOB_LOCK_MS,
    });
    this.#worker.on('error', (error) => this.#logger.debug({ err: error, consumer }, 'the queue is away'));
  }

  get consumer(): string {
    return this.#consumer;
  }

  /** Processes that their handler took along, or that had to be ended. */
  get processesLost(): number {
    return this.#process.lost;
  }

  /** Carries out what operators decided about this consumer's dead letters. */
  async redrive(): Promise<number> {
    const letters = await this.#database.transaction('platform', Deadline.after(STATEMENT_DEADLINE_MS), (client) =>
      decidedLetters(client, this.#consumer, REDRIVES),
    );
    for (const letter of letters) {
      const redrive = { ...letter, furtherId: this.#ids.next() };
      try {
        await this.#process.run({ kind: 'redrive', redrive });
      } catch (error) {
        this.#logger.warn({ err: error, consumer: this.#consumer, dead_letter: String(letter.id) }, 'a redrive failed');
        await noteFailedRedrive(this.#database, letter, (error as Error).message, STATEMENT_DEADLINE_MS);
      }
    }
    return letters.length;
  }

  /** Resolves when the job in hand has ended, or after `graceMs`: then it is another worker's. */
  async close(graceMs: number): Promise<void> {
    await Deadline.after(graceMs)
      .race(this.#worker.close())
      .catch(() => undefined);
    await this.#process.close();
  }

  async #apply(job: Job<BatchJob>, token: string | undefined): Promise<void> {
    const { partition, upTo } = upToOf(job);
    this.counts.jobs += 1;
    const startTime = spanTime();
    for (;;) {
      const outcome = await this.#runOnce({ partition, upTo, letterId: this.#ids.next() });
      this.counts.events += outcome.events;
      this.#trace(outcome, startTime);
      if (outcome.outcome === 'done') return;
      if (outcome.outcome === 'busy') {
        this.counts.busy += 1;
        await job.moveToDelayed(Date.now() + BUSY_RETRY_MS, token);
        throw new DelayedError();
      }
      this.counts.parked += 1;
      this.#logger.error({ consumer: this.#consumer, partition }, 'an event was parked as a dead letter');
    }
  }

  async #runOnce(run: {
    partition: number;
    upTo: { xid: bigint; seq: bigint };
    letterId: bigint;
  }): Promise<RunOutcome> {
    try {
      const report = await this.#process.run({ kind: 'run', run });
      if (report.kind !== 'ran') throw new Error(`a run was answered by ${report.kind}`);
      return report.outcome;
    } catch (error) {
      this.counts.failures += 1;
      if (error instanceof ProcessLost) await this.#noteLost(run.partition, error);
      this.#logger.warn(
        { err: error, consumer: this.#consumer, partition: run.partition },
        'events could not be applied',
      );
      throw error;
    }
  }

  /** Frees the partition at once, with what is known of the end. Otherwise its claim runs out, and the try counts too. */
  async #noteLost(partition: number, { claimant, message }: ProcessLost): Promise<void> {
    const position = new ConsumerPosition(this.#consumer, partition, claimant, 0);
    const deadline = Deadline.after(STATEMENT_DEADLINE_MS);
    await this.#database
      .transaction('relay', deadline, (client) => position.fail(client, message, true))
      .catch(() => undefined);
  }

  /** A span in each sampled request's own trace: what came of it, here. */
  #trace({ traces, events }: RunOutcome, startTime: number): void {
    for (const traceparent of traces) {
      const [, traceId = '', spanId = ''] = traceparent.split('-');
      const parent = trace.setSpanContext(ROOT_CONTEXT, {
        traceId,
        spanId,
        traceFlags: TraceFlags.SAMPLED,
        isRemote: true,
      });
      const attributes = { 'counterfoil.consumer': this.#consumer, 'counterfoil.events': events };
      tracer.startSpan(`apply ${this.#consumer}`, { startTime, attributes }, parent).end(spanTime());
    }
  }
}
