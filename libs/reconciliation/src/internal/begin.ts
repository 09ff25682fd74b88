import { systemClock } from '#kernel/clock.js';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { ReportQueue } from '../jobs/report-queue.js';
import { beginReports, dueMerchants } from './internal-store.js';

export interface BeginParts {
  readonly database: Database;
  readonly ids: SnowflakeGenerator;
  readonly queue: ReportQueue;
  readonly stepDeadline: () => Deadline;
}

/** Begins reports of our own checks as days have been settled, or have ended, a bounded number at a time. Any number of workers may. */
export class InternalReports {
  /** Begun here. */
  begun = 0;
  /** Of a worker that has just started nobody knows: one that restarts within the interval would never look. */
  #mayBeMore = true;

  constructor(
    private readonly parts: BeginParts,
    private readonly options: { readonly atOnce: number; readonly soonMs: number },
  ) {}

  get nextInMs(): number | undefined {
    return this.#mayBeMore ? this.options.soonMs : undefined;
  }

  async round(): Promise<void> {
    const { database, queue, stepDeadline } = this.parts;
    const { atOnce } = this.options;
    const asOf = { atOnce, nowMs: systemClock.now() };
    const { due, mayBeMore } = await dueMerchants(database, asOf, stepDeadline());
    this.#mayBeMore = mayBeMore;
    const begun = await beginReports(this.parts, due, stepDeadline());
    this.begun += begun.length;
    // Jobs that are lost here are added by the look after reports.
    for (const { merchantId } of begun) await queue.add(merchantId);
  }
}
