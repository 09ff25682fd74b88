import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { failReport } from '../receiving/staging-store.js';
import type { ReportQueue } from './report-queue.js';
import { merchantsWithReports, silentReports } from './work-store.js';

/** Of more in a later look. */
const LOOKED_AT = 1_000;

export interface LeftParts {
  readonly database: Database;
  readonly queue: ReportQueue;
  readonly silenceMs: number;
  readonly stepDeadline: () => Deadline;
}

/** Fails reports whose receivers have died, and makes sure of jobs for those that wait. Any number of workers may look. */
export async function lookAfterReports({ database, queue, silenceMs, stepDeadline }: LeftParts): Promise<void> {
  for (const report of await silentReports(database, { silenceMs, limit: LOOKED_AT }, stepDeadline())) {
    await failReport(database, report, 'The process that received it has died. Send it again.', stepDeadline);
  }
  for (const merchantId of await merchantsWithReports(database, LOOKED_AT, stepDeadline())) await queue.add(merchantId);
}
