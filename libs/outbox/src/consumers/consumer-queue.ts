import type { Job, Queue } from 'bullmq';
import { inTime, type Queues } from '#platform/queues.js';
import { UNTIRING_JOB, untiring } from '#platform/untiring-jobs.js';
import { type EventBatch, positionText } from '../log/position.js';
import type { RelayTarget } from '../relay/relay.js';
import { queueName } from './queue-name.js';
import type { Task } from './task.js';

/** What a job says: where to, not what, or whose turn it is. Lost ones are made anew from PostgreSQL. */
export type BatchJob = { partition: number; xid: string; seq: string } | { partition: number; merchant: string };

/**
 * A job is tried until it is done: it is events that may fail for good, and their tries are counted in PostgreSQL. When what
 * was away is back, nobody waits for longer than this.
 */
export const RETRIES = untiring({ firstMs: 100, longestMs: 1_000 });

/**
 * Hands batches to a consumer as BullMQ jobs, one for each partition that has none under way: order survives, and jobs
 * are as large as the consumer is slow. Its id makes one job of a batch that is dispatched twice. Partitions and merchants that go apart
 * from theirs have one turn after the other, in the queue's order.
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
    await inTime(
      this.queue.addBulk(batches.map((batch) => (batch.merchantId === undefined ? stretch(batch) : turn(batch)))),
    );
  }
}

function stretch({ partition, through }: EventBatch) {
  const data = { partition, xid: String(through.xid), seq: String(through.seq) };
  return { name: 'apply', data, opts: { jobId: `apply-${partition}-${positionText(through)}` } };
}

function turn({ partition, merchantId, after }: EventBatch) {
  const data = { partition, merchant: String(merchantId) };
  return { name: 'apply', data, opts: { jobId: `apart-${merchantId}-${positionText(after)}` } };
}

export function taskOf({ data }: Job<BatchJob>, letterId: bigint): Extract<Task, { run: unknown }> {
  const { partition } = data;
  if ('merchant' in data) return { kind: 'run apart', run: { partition, merchantId: BigInt(data.merchant), letterId } };
  const through = { xid: BigInt(data.xid), seq: BigInt(data.seq) };
  return { kind: 'run', run: { partition, through, letterId } };
}
