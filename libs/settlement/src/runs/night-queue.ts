import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Queue } from 'bullmq';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { inTime, Queues } from '#platform/queues.js';
import { untiringJob } from '#platform/untiring-jobs.js';
import type { SettlementSettings } from '../settings.js';
import { NIGHT_QUEUE } from './names.js';

/** Name of the scheduler, and of its job. */
export const LOOK = 'settle what is due';

/** What a job says: which range, not whose. Lost ones are made anew from PostgreSQL. The scheduler's says nothing. */
export type NightJob = { run_id: string; range: number } | Record<string, never>;

/** Jobs without a priority go first: to look at what is due never waits for ranges. */
const AFTER_LOOKS = 1;
const AT_ONCE = 1_000;
/** Ranges whose jobs are in their run's trace, and that are sent where it is. Those of others lead to the run, and the ratio has some sent. */
export const RANGES_LINKED = 100;

/** The night's jobs. Without REDIS_QUEUE_URL there are none, and runs wait. */
@Injectable()
export class NightQueue implements OnApplicationShutdown {
  readonly #queues: Queues | undefined;
  readonly #queue: Queue<NightJob> | undefined;
  readonly #logger: Logger;

  constructor(@Inject(CONFIG) config: SettlementSettings, @Inject(LOGGER) logger: Logger) {
    const { redisQueueUrl, databaseRuntimeUrl } = config;
    this.#logger = logger;
    this.#queues = redisQueueUrl === undefined ? undefined : new Queues(redisQueueUrl, databaseRuntimeUrl);
    this.#queue = this.#queues?.queue(NIGHT_QUEUE);
  }

  /** A job for each of the ranges that has none. */
  async add(runId: bigint, ranges: readonly number[], traceContext: string | undefined): Promise<void> {
    const jobs = ranges.map((range) => ({
      name: 'settle',
      data: { run_id: String(runId), range },
      opts: {
        ...untiringJob(`settle-${runId}-${range}`, range < RANGES_LINKED ? traceContext : undefined),
        priority: AFTER_LOOKS,
      },
    }));
    for (let from = 0; from < jobs.length; from += AT_ONCE) {
      if (this.#queue) await inTime(this.#queue.addBulk(jobs.slice(from, from + AT_ONCE)));
    }
  }

  /** The same for whoever cannot wait: what cannot be added now is by the next look at what waits. */
  addSoon(runId: bigint, ranges: readonly number[], traceContext: string | undefined): void {
    this.add(runId, ranges, traceContext).catch((error) =>
      this.#logger.warn({ err: error, run_id: String(runId) }, 'the run waits until the queue is back'),
    );
  }

  /** Sets up the scheduler where Redis has none, has lost its next job, has put it off as a clock far ahead said, or has one of another interval. */
  async keepSchedule(everyMs: number): Promise<void> {
    if (!this.#queue) return;
    const known = await inTime(this.#queue.getJobScheduler(LOOK));
    const isAlive = known?.next !== undefined && Math.abs(known.next - Date.now()) < 2 * everyMs;
    if (isAlive && known.every === everyMs) return;
    // Whoever only sets it up again leaves its next job where it is.
    await inTime(this.#queue.removeJobScheduler(LOOK));
    const opts = { removeOnComplete: true, removeOnFail: true };
    await inTime(this.#queue.upsertJobScheduler(LOOK, { every: everyMs }, { name: LOOK, data: {}, opts }));
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#queues?.close();
  }
}
