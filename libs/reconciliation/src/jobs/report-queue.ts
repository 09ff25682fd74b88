import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { Queue } from 'bullmq';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { inTime, Queues } from '#platform/queues.js';
import { untiringJob } from '#platform/untiring-jobs.js';
import type { ReconciliationSettings } from '../settings.js';
import { RECONCILIATION_QUEUE } from './names.js';

/** What a job says: whose reports wait. Lost ones are made anew from PostgreSQL. */
export interface ReportJob {
  merchant_id: string;
}

/**
 * A job for each merchant that has reports to be matched: so merchants are in one line, however many reports each has, and a report that
 * goes on later waits behind the others'. Without REDIS_QUEUE_URL there are none, and reports wait.
 */
@Injectable()
export class ReportQueue implements OnApplicationShutdown {
  readonly #queues: Queues | undefined;
  readonly #queue: Queue<ReportJob> | undefined;

  constructor(
    @Inject(CONFIG) { redisQueueUrl, databaseRuntimeUrl }: ReconciliationSettings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#queues = redisQueueUrl === undefined ? undefined : new Queues(redisQueueUrl, databaseRuntimeUrl);
    this.#queue = this.#queues?.queue(RECONCILIATION_QUEUE);
  }

  /** Unless it has one. `traceContext`: of who asked for it. */
  async add(merchantId: bigint, traceContext?: string): Promise<void> {
    if (!this.#queue) return;
    const data = { merchant_id: String(merchantId) };
    await inTime(this.#queue.add('match', data, untiringJob(`match-${merchantId}`, traceContext)));
  }

  /** The same for whoever cannot wait: what cannot be added now is by the next look at what waits. */
  addSoon(merchantId: bigint, traceContext?: string): void {
    this.add(merchantId, traceContext).catch((error) =>
      this.logger.warn({ err: error, merchant_id: String(merchantId) }, 'reports wait until the queue is back'),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#queues?.close();
  }
}
