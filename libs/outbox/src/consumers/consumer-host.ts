import { randomUUID } from 'node:crypto';
import type { Span } from '@opentelemetry/api';
import { DelayedError, type Job, type Worker } from 'bullmq';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import { Histogram, LATE_SECONDS } from '#platform/histogram.js';
import type { Logger } from '#platform/logging.js';
import type { Database, Scope, TransactionClient } from '#platform/postgres.js';
import type { Queues } from '#platform/queues.js';
import { traceparentOf } from '#platform/tracing.js';
import { decidedLetters, type FreeStream, freeStreams, settleLetter } from '../dead-letters/dead-letter-store.js';
import { parkNext } from '../dead-letters/redriver.js';
import { StreamHold } from '../dead-letters/stream-hold.js';
import type { RunOutcome } from './batch-applier.js';
import { type BatchJob, RETRIES, taskOf } from './consumer-queue.js';
import { ProcessLost } from './handler-process.js';
import { ConsumerPosition, type Whose } from './position-store.js';
import { queueName } from './queue-name.js';
import type { Task, TaskRunner } from './task.js';

/** Dead letters and streams seen to in one round. */
const REDRIVES = 50;
/** When another process is at work on the partition, the job comes again. */
const BUSY_RETRY_MS = 200;
const STATEMENT_DEADLINE_MS = 5_000;

export interface HostOptions {
  /** A job whose worker does not prolong its lock for so long is another worker's. */
  jobLockMs: number;
  /** Events of one page, where a waiting stream catches up. */
  pageEvents: number;
  /** Partitions at work on at once. */
  concurrency: number;
}

/** Runs one consumer or reactor: BullMQ's jobs and operators' decisions. */
export class ConsumerHost {
  readonly #consumer: string;
  readonly #database: Database;
  readonly #ids: SnowflakeGenerator;
  readonly #logger: Logger;
  readonly #runner: TaskRunner;
  readonly #queues: Queues;
  readonly #worker: Worker<BatchJob>;
  readonly #pageEvents: number;
  readonly #onApplied: (merchantIds?: readonly bigint[]) => void;
  /** Merchants whose waiting stream has taken a process along, and is gone through one by one. */
  readonly #suspects = new Set<bigint>();
  /** How old events were when they had been applied here. */
  readonly ages = new Histogram(LATE_SECONDS);
  readonly counts = { jobs: 0, events: 0, failures: 0, busy: 0, claimsLost: 0, parked: 0 };

  constructor(
    consumer: string,
    parts: {
      runner: TaskRunner;
      queues: Queues;
      database: Database;
      ids: SnowflakeGenerator;
      logger: Logger;
      /** `merchantIds`: for whom the consumer has left something to be done; undefined: not known. */
      onApplied: (merchantIds?: readonly bigint[]) => void;
    },
    options: HostOptions,
  ) {
    this.#consumer = consumer;
    this.#database = parts.database;
    this.#ids = parts.ids;
    this.#logger = parts.logger;
    this.#onApplied = parts.onApplied;
    this.#pageEvents = options.pageEvents;
    this.#runner = parts.runner;
    this.#queues = parts.queues;
    this.#worker = parts.queues.worker<BatchJob>(queueName(consumer), (...taken) => this.#apply(...taken), {
      ...RETRIES,
      autorun: false,
      concurrency: options.concurrency,
      lockDuration: options.jobLockMs,
      stalledInterval: options.jobLockMs,
    });
  }

  get consumer(): string {
    return this.#consumer;
  }

  /** Processes that their handler took along, or that had to be ended. */
  get processesLost(): number {
    return this.#runner.lost;
  }

  /** Takes jobs from now on. */
  start(): void {
    this.#worker
      .run()
      .catch((error) => this.#logger.error({ err: error, consumer: this.#consumer }, 'no more jobs are taken'));
  }

  /** Carries out what operators decided about this consumer's dead letters, and lets the streams behind them go on. */
  async redrive(): Promise<void> {
    const [letters, streams] = await this.#transaction('relay', async (client) => [
      await decidedLetters(client, this.#consumer, REDRIVES),
      await freeStreams(client, this.#consumer, REDRIVES),
    ]);
    for (const letter of letters) {
      await this.#survive({ kind: 'redrive', letter }, letter, (why) =>
        this.#transaction({ merchantIds: [letter.merchantId] }, (client) =>
          settleLetter(client, letter.merchantId, letter.id, { status: 'parked', error: why }),
        ),
      );
    }
    for (const stream of streams) await this.#catchUp(stream);
  }

  /** An event that takes its process along is found as any other: first the page, then itself, and then it is parked. */
  async #catchUp(stream: FreeStream): Promise<void> {
    const { merchantId } = stream;
    const isSuspect = this.#suspects.has(merchantId);
    const limit = isSuspect ? 1 : this.#pageEvents;
    const task = { kind: 'catch up', stream: { ...stream, limit, letterId: this.#ids.next() } } as const;
    const hasSurvived = await this.#survive(task, stream, async (why) => {
      if (isSuspect) await this.#parkNext(stream, why);
      this.#suspects.add(merchantId);
    });
    if (hasSurvived || isSuspect) this.#suspects.delete(merchantId);
  }

  #parkNext(stream: FreeStream, error: string): Promise<void> {
    const { merchantId } = stream;
    const stands = new StreamHold(this.#consumer, stream, randomUUID(), STATEMENT_DEADLINE_MS);
    return this.#transaction({ merchantIds: [merchantId] }, async (client) => {
      const letter = { merchantId, id: this.#ids.next(), error };
      await parkNext(client, stands, { name: this.#consumer, failureScope: 'stream' }, letter);
      await stands.release(client);
    });
  }

  /**
   * Runs a task; `onLoss` when its handler took the process along. Any other failure leaves it due, for the next round, and
   * holds up nobody else's. Returns whether it ended well.
   */
  async #survive(task: Task, stream: FreeStream, onLoss: (why: string) => Promise<void>): Promise<boolean> {
    try {
      await this.#runner.run(task);
      this.#onApplied();
      return true;
    } catch (error) {
      this.#logger.warn({ err: error, consumer: this.#consumer, task: task.kind }, 'dead letters could not be seen to');
      if (error instanceof ProcessLost) await this.#afterLoss(stream, error, onLoss);
      return false;
    }
  }

  async #afterLoss(stream: FreeStream, lost: ProcessLost, onLoss: (why: string) => Promise<void>): Promise<void> {
    const { merchantId, partition } = stream;
    const held = new StreamHold(this.#consumer, stream, lost.claimant, 0);
    try {
      await this.#transaction({ merchantIds: [merchantId] }, (client) => held.release(client));
      await onLoss(lost.message);
    } catch (error) {
      this.#logger.warn(
        { err: error, consumer: this.#consumer, partition },
        'a lost process could not be accounted for',
      );
    }
  }

  /** Resolves when the job in hand has ended, or after `graceMs`: then it is another worker's. */
  async close(graceMs: number): Promise<void> {
    await this.#queues.closeWorker(this.#worker, graceMs);
    await this.#runner.close();
  }

  async #apply(job: Job<BatchJob>, token: string | undefined, span: Span): Promise<void> {
    const { partition } = job.data;
    this.counts.jobs += 1;
    span.setAttributes({ 'counterfoil.consumer': this.#consumer, 'counterfoil.partition': partition });
    for (;;) {
      const outcome = await this.#runOnce(taskOf(job, this.#ids.next(), traceparentOf(span)));
      this.counts.events += outcome.events;
      for (const [ms, traceparent] of outcome.ages) this.ages.observe(ms / 1_000, traceparent);
      // Also of a job that finds nothing left: whoever applied it before may have died, or been given up, before he could say so.
      const isAllKnown = outcome.events > 0 && job.attemptsStarted === 1;
      if (outcome.outcome !== 'busy' || outcome.events > 0) this.#onApplied(isAllKnown ? outcome.left : undefined);
      if (outcome.outcome === 'done') return;
      if (outcome.outcome === 'busy' || outcome.outcome === 'lost') {
        this.counts[outcome.outcome === 'busy' ? 'busy' : 'claimsLost'] += 1;
        await job.moveToDelayed(Date.now() + BUSY_RETRY_MS, token);
        throw new DelayedError();
      }
      this.counts.parked += 1;
      this.#logger.error({ consumer: this.#consumer, partition }, 'an event was parked as a dead letter');
    }
  }

  async #runOnce(task: Extract<Task, { run: unknown }>): Promise<RunOutcome> {
    const { partition } = task.run;
    try {
      const done = await this.#runner.run(task);
      if (done.kind !== 'ran') throw new Error(`a run was answered by ${done.kind}`);
      return done.outcome;
    } catch (error) {
      this.counts.failures += 1;
      if (error instanceof ProcessLost) {
        await this.#noteLost(task.kind === 'run' ? { partition } : { merchantId: task.run.merchantId }, error);
      }
      this.#logger.warn({ err: error, consumer: this.#consumer, partition }, 'events could not be applied');
      throw error;
    }
  }

  /** Frees the position at once, with what is known of the end. Otherwise its claim runs out, and the try counts too. */
  async #noteLost(whose: Whose, { claimant, message }: ProcessLost): Promise<void> {
    const position = new ConsumerPosition(this.#consumer, whose, claimant, 0);
    const scope = 'partition' in whose ? 'relay' : { merchantIds: [whose.merchantId] };
    await this.#transaction(scope, (client) => position.fail(client, message, true)).catch(() => undefined);
  }

  #transaction<T>(scope: Scope, work: (client: TransactionClient) => Promise<T>): Promise<T> {
    return this.#database.transaction(scope, Deadline.after(STATEMENT_DEADLINE_MS), work);
  }
}
