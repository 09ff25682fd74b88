import type { Job, Queue } from 'bullmq';
import { inTime, type Queues } from '#platform/queues.js';
import { UNTIRING_JOB, untiring } from '#platform/untiring-jobs.js';
import type { EventBatch } from '../log/position.js';
import type { RelayTarget } from '../relay/relay.js';
import { queueName } from './queue-name.js';

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
export const RETRIES = untiring({ firstMs: 100, longestMs: 1_000 });

/**
 * Hands batches to a consumer as BullMQ jobs, one for each partition that has none under way: order survives, and jobs
 * are as large as the consumer is slow. Its id makes one job of a batch that is dispatched twice.
 */
export class ConsumerQueue implements RelayTarget {
  readonly consumer: string;
  readonly from: 'beginning' | 'now';
  readonly keepsPosition = true;
  readonly batchSize: number;
  readonly queue: Queue<BatchJob>;

  constructor(consumer: string, queues: Queues, options: { batchSize: number; from: 'beginning' | 'now' }) {
    this.consumer = consumer;
    this.batchSize = options.batchSize;
    this.from = options.from;
    this.queue = queues.queue(queueName(consumer), UNTIRING_JOB);
  }

  async dispatch(batches: readonly EventBatch[]): Promise<void> {
    const jobs = batches.map(({ partition, through }) => ({
      name: 'apply',
      data: { partition, xid: String(through.xid), seq: String(through.seq) },
      opts: { jobId: `apply-${partition}-${through.xid}-${through.seq}` },
    }));
    await inTime(this.queue.addBulk(jobs));
  }
}

export function rangeOf({ data }: Job<BatchJob>): { partition: number; through: { xid: bigint; seq: bigint } } {
  return { partition: data.partition, through: { xid: BigInt(data.xid), seq: BigInt(data.seq) } };
}
