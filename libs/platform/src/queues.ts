import { type Span, SpanKind, trace } from '@opentelemetry/api';
import { DelayedError, type Job, type JobsOptions, type Processor, Queue, Worker, type WorkerOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { Deadline } from './deadline.js';
import type { Logger } from './logging.js';
import { openRedis } from './redis.js';
import { endSpan, failSpan, remoteContext, spanTime, tracer } from './tracing.js';

/** Longest that whoever adds a job, or closes a queue, waits for the queues' Redis. */
const QUEUE_TIMEOUT_MS = 3_000;

/**
 * BullMQ's queues of one database. A job names what is to be done; whether it is, PostgreSQL knows: Redis may lose every job. Schedulers
 * are BullMQ's own, `queue(…).upsertJobScheduler(…)`.
 */
export class Queues {
  readonly #url: string;
  readonly #prefix: string;
  readonly #logger: Logger | undefined;
  readonly #queues: Queue[] = [];
  readonly #workers: Worker[] = [];
  #sending: Redis | undefined;
  #working: Redis | undefined;

  /** Several services may share a Redis: `databaseUrl` tells their queues apart. */
  constructor(url: string, databaseUrl: string, logger?: Logger) {
    this.#url = url;
    // The braces keep a queue in one slot of a Redis Cluster.
    this.#prefix = `{counterfoil-${new URL(databaseUrl).pathname.slice(1)}}`;
    this.#logger = logger;
  }

  /** To add jobs to, within `inTime`. */
  queue<Data>(name: string, defaultJobOptions: JobsOptions = {}): Queue<Data> {
    return this.#opened(new Queue<Data>(name, { ...this.#ofSender(), defaultJobOptions }));
  }

  /** To look at: nothing is written. */
  view(name: string): Queue {
    return this.#opened(new Queue(name, { ...this.#ofSender(), skipMetasUpdate: true }));
  }

  /** Works jobs off, and waits for Redis for as long as it takes. */
  worker<Data>(
    name: string,
    work: (job: Job<Data>, token: string | undefined) => Promise<void>,
    options: Omit<WorkerOptions, 'connection' | 'prefix'>,
  ): Worker<Data> {
    this.#working ??= openRedis(this.#url, { maxRetriesPerRequest: null });
    const processor: Processor<Data> = (job, token) => traced(jobSpan(name, job), () => work(job, token));
    const worker = new Worker<Data>(name, processor, { ...options, connection: this.#working, prefix: this.#prefix });
    worker.on('error', (error) => this.#logger?.debug({ err: error, queue: name }, 'the queue is away'));
    this.#workers.push(worker as Worker);
    return worker;
  }

  /** Whether the connection that jobs come by stands. */
  get isConnected(): boolean {
    return this.#working?.status === 'ready';
  }

  /** Workers first: resolves when the jobs in hand have ended, or after `graceMs`: then they are another worker's. */
  async close(graceMs = 0): Promise<void> {
    await Promise.all(this.#workers.map((worker) => within(graceMs, worker.close())));
    await Promise.all(this.#queues.map((queue) => within(QUEUE_TIMEOUT_MS, queue.close())));
    this.#sending?.disconnect();
    this.#working?.disconnect();
  }

  /** BullMQ asks for the server's version as it opens a queue, once: where that fails, whatever is added to the queue fails ever after. */
  #ofSender() {
    this.#sending ??= openRedis(this.#url, { maxRetriesPerRequest: 1, commandTimeout: QUEUE_TIMEOUT_MS });
    return { connection: this.#sending, prefix: this.#prefix, skipVersionCheck: true };
  }

  #opened<Data>(queue: Queue<Data>): Queue<Data> {
    // Each call tells its caller; without a listener the event would end the process.
    queue.on('error', () => undefined);
    this.#queues.push(queue as Queue);
    return queue;
  }
}

/**
 * A job is a trace of its own, with the attributes of OpenTelemetry's conventions for messaging, linked to the span of whoever added it
 * where the job names one in `opts.telemetry.metadata`: it may run long after that, and again.
 */
function jobSpan(queue: string, job: Job): Span {
  const producer = job.opts.telemetry?.metadata;
  const context = producer === undefined ? undefined : trace.getSpanContext(remoteContext(producer));
  return tracer.startSpan(`process ${queue}`, {
    root: true,
    kind: SpanKind.CONSUMER,
    startTime: spanTime(),
    links: context ? [{ context }] : [],
    attributes: {
      'messaging.system': 'bullmq',
      'messaging.operation.type': 'process',
      'messaging.operation.name': 'process',
      'messaging.destination.name': queue,
      ...(job.id !== undefined && { 'messaging.message.id': job.id }),
    },
  });
}

/** A job that is put off has not failed. */
async function traced(span: Span, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DelayedError) endSpan(span);
    else failSpan(span, error);
    throw error;
  }
  endSpan(span);
}

/** Fails rather than wait for a queue: BullMQ itself waits for its first connection as long as it takes. */
export function inTime<T>(asked: Promise<T>): Promise<T> {
  return Deadline.after(QUEUE_TIMEOUT_MS).race(asked, () => new Error('the queue did not answer in time'));
}

async function within(ms: number, closed: Promise<unknown>): Promise<void> {
  await Deadline.after(ms)
    .race(closed)
    .catch(() => undefined);
}
