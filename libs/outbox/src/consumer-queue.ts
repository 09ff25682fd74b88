import { type Job, Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { Deadline } from '#platform/deadline.js';
import type { Stretch } from './position.js';
import type { RelayTarget } from './relay.js';

/** What a job says: where to, not what. Lost ones are made anew from PostgreSQL. */
export interface BatchJob {
  partition: number;
  xid: string;
  seq: string;
}

export const BATCH_ATTEMPTS = 12;
const BACKOFF_MS = 100;
/** Longest that the relay waits for the queue's Redis. */
const HAND_OVER_MS = 3_000;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_LONGEST_MS = 1_000;

/** Queues of one database; several services may share a Redis. The braces keep a queue in one slot of a Redis Cluster. */
export function queuePrefix(databaseUrl: string): string {
  return `{counterfoil-${new URL(databaseUrl).pathname.slice(1)}}`;
}

export function queueName(consumer: string): string {
  return `events-${consumer}`;
}

/** A connection for adding jobs, which fails rather than wait. A job that is added late does no harm. */
export function queueConnection(url: string): Redis {
  const redis = new Redis(url, {
    maxRetriesPerRequest: 1,
    commandTimeout: HAND_OVER_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * 50, RECONNECT_LONGEST_MS),
  });
  // Whoever uses it is told; without a listener the event would end the process.
  redis.on('error', () => undefined);
  return redis;
}

/** A connection for BullMQ's workers, which wait for Redis as long as it takes. */
export function workerConnection(url: string): Redis {
  const redis = new Redis(url, {
    maxRetriesPerRequest: null,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * 50, RECONNECT_LONGEST_MS),
  });
  redis.on('error', () => undefined);
  return redis;
}

/**
 * Hands stretches to a consumer as BullMQ jobs, one for each partition that has none under way: order survives, and jobs
 * are as large as the consumer is slow. Its id makes one job of a stretch that is handed over twice.
 */
export class ConsumerQueue implements RelayTarget {
  readonly consumer: string;
  readonly from: 'beginning' | 'now';
  readonly keepsPosition = true;
  readonly stretch: number;
  readonly queue: Queue<BatchJob>;

  constructor(
    consumer: string,
    connection: Redis,
    options: { prefix: string; stretch: number; from: 'beginning' | 'now' },
  ) {
    this.consumer = consumer;
    this.stretch = options.stretch;
    this.from = options.from;
    this.queue = new Queue(queueName(consumer), {
      connection,
      prefix: options.prefix,
      defaultJobOptions: {
        attempts: BATCH_ATTEMPTS,
        backoff: { type: 'exponential', delay: BACKOFF_MS },
        removeOnComplete: true,
        // What failed for good is a dead letter in PostgreSQL, or is handed over again.
        removeOnFail: true,
      },
    });
    this.queue.on('error', () => undefined);
  }

  async handOver(stretches: readonly Stretch[]): Promise<void> {
    const jobs = stretches.map(({ partition, upTo }) => ({
      name: 'apply',
      data: { partition, xid: String(upTo.xid), seq: String(upTo.seq) },
      opts: { jobId: `apply-${partition}-${upTo.xid}-${upTo.seq}` },
    }));
    const deadline = Deadline.after(HAND_OVER_MS);
    await deadline.race(this.queue.addBulk(jobs), () => new Error('the queue did not answer in time'));
  }

  async close(): Promise<void> {
    await Deadline.after(HAND_OVER_MS)
      .race(this.queue.close())
      .catch(() => undefined);
  }
}

export function upToOf({ data }: Job<BatchJob>): { partition: number; upTo: { xid: bigint; seq: bigint } } {
  return { partition: data.partition, upTo: { xid: BigInt(data.xid), seq: BigInt(data.seq) } };
}
