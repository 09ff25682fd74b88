import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Queue } from 'bullmq';
import { CONFIG } from '#platform/platform.module.js';
import { inTime, Queues } from '#platform/queues.js';
import type { Config } from '../../config.js';
import { queuesOf, ROOMS } from '../../rooms.js';

export interface QueueState {
  name: string;
  counts: { waiting: number; active: number; delayed: number; failed: number };
  schedulers: { name: string; everyMs: number | undefined; nextMs: number | undefined }[];
}

/** The rooms' queues, to look at. None without REDIS_QUEUE_URL. */
@Injectable()
export class QueueViews implements OnApplicationShutdown {
  readonly #queues: Queues | undefined;
  readonly views: readonly Queue[];

  constructor(@Inject(CONFIG) { redisQueueUrl, databaseRuntimeUrl }: Config) {
    const queues = redisQueueUrl === undefined ? undefined : new Queues(redisQueueUrl, databaseRuntimeUrl);
    this.#queues = queues;
    this.views = queues ? queuesOf(ROOMS).map((name) => queues.view(name)) : [];
  }

  /** Undefined: there is no Redis for them, or it does not answer in time. */
  async states(): Promise<QueueState[] | undefined> {
    if (!this.#queues) return undefined;
    return inTime(Promise.all(this.views.map(stateOf))).catch(() => undefined);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#queues?.close();
  }
}

async function stateOf(queue: Queue): Promise<QueueState> {
  const [counts, schedulers] = await Promise.all([
    queue.getJobCounts('waiting', 'active', 'delayed', 'failed'),
    queue.getJobSchedulers(),
  ]);
  return {
    name: queue.name,
    counts: counts as QueueState['counts'],
    schedulers: schedulers.map(({ key, every, next }) => ({ name: key, everyMs: every, nextMs: next })),
  };
}
