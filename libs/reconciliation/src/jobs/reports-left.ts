import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { failReport } from '../receiving/staging-store.js';
import type { ReportQueue } from './report-queue.js';
import { merchantsWithReports, silentReports } from './work-store.js';

/** In one statement; of reports whose receivers have died the others in a later look. */
const LOOKED_AT = 1_000;

export interface LeftParts {
  readonly database: Database;
  readonly queue: ReportQueue;
  readonly silenceMs: number;
  readonly stepDeadline: () => Deadline;
  readonly lookedAt?: number;
}

/** Fails reports whose receivers have died, and makes sure of jobs for those that wait. Any number of workers may look. */
export async function lookAfterReports(parts: LeftParts): Promise<void> {
  const { database, queue, silenceMs, stepDeadline, lookedAt: limit = LOOKED_AT } = parts;
  for (const report of await silentReports(database, { silenceMs, limit }, stepDeadline())) {
    await failReport(database, report, 'The process that received it has died. Send it again.', stepDeadline);
  }
  // All of them: were it the first alone, one whose job was lost might wait for all who come before.
  for (let after = 0n, page: bigint[] = []; after === 0n || page.length === limit; after = page.at(-1) ?? 0n) {
    page = await merchantsWithReports(database, { after, limit }, stepDeadline());
    for (const merchantId of page) await queue.add(merchantId);
    if (page.length === 0) return;
  }
}
