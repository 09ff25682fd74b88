import type { Job, Queue } from 'bullmq';
import { inTime, type Queues } from '#platform/queues.js';
import type { Stretch } from '../log/position.js';
import type { RelayTarget } from '../relay/relay.js';

/** What a job says: where to, not what. Lost ones are made anew from PostgreSQL. */
export interface BatchJob {
  partition: number;
  xid: string;
  seq: string;
}

/**
 * A job is tried until it is done: it is events that may fail for good, and their tries are counted in PostgreSQL. When what
 * was away is back, nobody waits for longer than this.
 */
const FOR_EVER = Number.MAX_SAFE_INTEGER;
const BACKOFF_MS = 100;
const BACKOFF_LONGEST_MS = 1_000;

export function queueName(consumer: string): string {
  return `events-${consumer}`;
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

  constructor(consumer: string, queues: Queues, options: { stretch: number; from: 'beginning' | 'now' }) {
    this.consumer = consumer;
    this.stretch = options.stretch;
    this.from = options.from;
    this.queue = queues.queue(queueName(consumer), {
      attempts: FOR_EVER,
      backoff: { type: 'custom' },
      removeOnComplete: true,
    });
  }

  async handOver(stretches: readonly Stretch[]): Promise<void> {
    const jobs = stretches.map(({ partition, upTo }) => ({
      name: 'apply',
      data: { partition, xid: String(upTo.xid), seq: String(upTo.seq) },
      opts: { jobId: `apply-${partition}-${upTo.xid}-${upTo.seq}` },
    }));
    await inTime(this.queue.addBulk(jobs));
  }
}

/** How BullMQ's workers are to treat a job that failed, or whose worker has died. */
export const RETRIES = {
  settings: {
    backoffStrategy: (attempts: number) => Math.min(BACKOFF_MS * 2 ** (attempts - 1), BACKOFF_LONGEST_MS),
  },
  maxStalledCount: FOR_EVER,
};

export function upToOf({ data }: Job<BatchJob>): { partition: number; upTo: { xid: bigint; seq: bigint } } {
  return { partition: data.partition, upTo: { xid: BigInt(data.xid), seq: BigInt(data.seq) } };
}
