import { setTimeout as sleep } from 'node:timers/promises';
import { INVALID_SPAN_CONTEXT, type Span, SpanKind, trace } from '@opentelemetry/api';
import { DelayedError, type Job, type JobsOptions, type Processor, Queue, Worker, type WorkerOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { Deadline } from './deadline.js';
import type { Logger } from './logging.js';
import { openRedis } from './redis.js';
import { ATTRIBUTE } from './span-names.js';
import { endSpan, failSpan, spanTime, startFrom } from './tracing.js';

/** Longest that whoever adds a job waits for the queues' Redis. */
const QUEUE_TIMEOUT_MS = 3_000;
/** Longest that whoever ends waits for it, with nothing in hand: it may be away, and what it is not told it finds out by itself. */
const FAREWELL_MS = 500;

/**
 * BullMQ's queues of one database. A job names what is to be done; whether it is, PostgreSQL knows: Redis may lose every job. Schedulers
 * are BullMQ's own, `queue(…).upsertJobScheduler(…)`.
 */
export class Queues {
  readonly #url: string;
  readonly #prefix: string;
  readonly #logger: Logger | undefined;
  readonly #queues: Queue[] = [];
  /** With their jobs in hand. */
  readonly #workers = new Map<Pick<Worker, 'close'>, Set<Promise<void>>>();
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

  /** Works jobs off, and waits for Redis for as long as it takes. `span`: of this try of the job; of nobody where nobody added it. */
  worker<Data>(
    name: string,
    work: (job: Job<Data>, token: string | undefined, span: Span) => Promise<void>,
    options: Omit<WorkerOptions, 'connection' | 'prefix'>,
  ): Worker<Data> {
    this.#working ??= openRedis(this.#url, { maxRetriesPerRequest: null });
    const inHand = new Set<Promise<void>>();
    const processor: Processor<Data> = (job, token) => {
      const ended = traced(name, job, (span) => work(job, token, span)).finally(() => inHand.delete(ended));
      inHand.add(ended);
      return ended;
    };
    const worker = new Worker<Data>(name, processor, { ...options, connection: this.#working, prefix: this.#prefix });
    worker.on('error', (error) => this.#logger?.debug({ err: error, queue: name }, 'the queue is away'));
    this.#workers.set(worker, inHand);
    return worker;
  }

  /** The same for one of them. */
  async closeWorker(worker: Pick<Worker, 'close'>, graceMs: number): Promise<void> {
    await within(graceMs, Promise.race([worker.close(), this.#idle(worker)]));
  }

  /** Resolves once nothing has been in hand for as long as Redis is waited for. */
  async #idle(worker: Pick<Worker, 'close'>): Promise<void> {
    const inHand = this.#workers.get(worker) ?? new Set();
    do {
      await Promise.allSettled([...inHand]);
      await sleep(FAREWELL_MS, undefined, { ref: false });
    } while (inHand.size > 0);
  }

  /** Whether the connection that jobs come by stands. */
  get isConnected(): boolean {
    return this.#working?.status === 'ready';
  }

  /** Workers first: resolves when the jobs in hand have ended, or after `graceMs`: then they are another worker's. */
  async close(graceMs = 0): Promise<void> {
    await Promise.all([...this.#workers.keys()].map((worker) => this.closeWorker(worker, graceMs)));
    await Promise.all(this.#queues.map((queue) => within(FAREWELL_MS, queue.close())));
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

/** What OpenTelemetry's conventions for messaging have a span say that adds jobs to a queue. */
export function sendAttributes(queue: string) {
  return attributesOf(queue, 'send');
}

function attributesOf(queue: string, operation: 'send' | 'process') {
  return {
    [ATTRIBUTE.messagingSystem]: 'bullmq',
    [ATTRIBUTE.messagingOperationType]: operation,
    [ATTRIBUTE.messagingOperationName]: operation,
    [ATTRIBUTE.messagingDestination]: queue,
  };
}

/** A try of a job, below the span that the job names in `opts.telemetry.metadata`. */
function jobSpan(queue: string, { id, opts }: Job, startTime: number): Span {
  const attributes = {
    ...attributesOf(queue, 'process'),
    ...(id !== undefined && { [ATTRIBUTE.messagingMessageId]: id }),
  };
  return startFrom(opts.telemetry?.metadata, `process ${queue}`, { kind: SpanKind.CONSUMER, startTime, attributes });
}

/**
 * Each try in a span of its own; one that is put off has not failed. A job that names no span is a scheduler's, which has mostly nothing
 * to do, or one of which nothing is traced: it has a span where it fails.
 */
async function traced(queue: string, job: Job, work: (span: Span) => Promise<void>): Promise<void> {
  const startTime = spanTime();
  const span = job.opts.telemetry?.metadata === undefined ? undefined : jobSpan(queue, job, startTime);
  try {
    await work(span ?? trace.wrapSpanContext(INVALID_SPAN_CONTEXT));
  } catch (error) {
    if (!(error instanceof DelayedError)) failSpan(span ?? jobSpan(queue, job, startTime), error);
    else if (span) endSpan(span);
    throw error;
  }
  if (span) endSpan(span);
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
