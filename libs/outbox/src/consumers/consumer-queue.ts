import type { Job, Queue } from 'bullmq';
import { inTime, type Queues } from '#platform/queues.js';
import { addedBy, UNTIRING_JOB, untiring } from '#platform/untiring-jobs.js';
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
  readonly destination: string;
  readonly queue: Queue<BatchJob>;

  constructor(consumer: string, queues: Queues, options: { batchSize: number; from: 'beginning' | 'now' }) {
    this.consumer = consumer;
    this.batchSize = options.batchSize;
    this.from = options.from;
    this.destination = queueName(consumer);
    this.queue = queues.queue(this.destination, UNTIRING_JOB);
  }

  async dispatch(batches: readonly EventBatch[]): Promise<void> {
    await inTime(
      this.queue.addBulk(batches.map((batch) => (batch.merchantId === undefined ? stretch(batch) : turn(batch)))),
    );
  }
}

function stretch({ partition, through, traceContext }: EventBatch) {
  const data = { partition, xid: String(through.xid), seq: String(through.seq) };
  return {
    name: 'apply',
    data,
    opts: { jobId: `apply-${partition}-${positionText(through)}`, ...addedBy(traceContext) },
  };
}

function turn({ partition, merchantId, after }: EventBatch) {
  const data = { partition, merchant: String(merchantId) };
  return { name: 'apply', data, opts: { jobId: `apart-${merchantId}-${positionText(after)}` } };
}

/** `traceContext`: of the job's span. */
export function taskOf(
  { data }: Job<BatchJob>,
  letterId: bigint,
  traceContext: string | undefined,
): Extract<Task, { run: unknown }> {
  const whole = { partition: data.partition, letterId, traceContext };
  if ('merchant' in data) return { kind: 'run apart', run: { ...whole, merchantId: BigInt(data.merchant) } };
  const through = { xid: BigInt(data.xid), seq: BigInt(data.seq) };
  return { kind: 'run', run: { ...whole, through } };
}
