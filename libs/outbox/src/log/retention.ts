import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { PARTITIONS } from './position.js';

/** Events deleted in one transaction: short locks, little bloat at a time. */
const BATCH = 5_000;
const BATCH_DEADLINE_MS = 30_000;
const DAY_MS = 86_400_000;

/**
 * Forgets events older than `days`; 0: none. PostgreSQL itself keeps what a consumer or a waiting stream is not past
 * (forget_events). Returns how many were forgotten.
 */
export async function forgetEvents(database: Database, days: number, nowMs: number): Promise<number> {
  if (days === 0) return 0;
  const olderThan = new Date(nowMs - days * DAY_MS);
  let forgotten = 0;
  for (let partition = 0; partition < PARTITIONS; ) {
    const batch = await database.transaction('relay', Deadline.after(BATCH_DEADLINE_MS), async (client) => {
      const { rows } = await client.query<{ count: number }>({
        text: 'SELECT forget_events($1::smallint, $2, $3) AS count',
        values: [partition, olderThan, BATCH],
      });
      return rows[0]?.count ?? 0;
    });
    forgotten += batch;
    if (batch < BATCH) partition += 1;
  }
  return forgotten;
}
