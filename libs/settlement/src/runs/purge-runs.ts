import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';

/** Runs deleted in one transaction, with all of their ranges. */
const BATCH = 100;
const BATCH_DEADLINE_MS = 30_000;

/** $1 runs with lower ids, $2 limit. What another worker is purging is passed over; a run that is not over stays. */
const PURGE_RUNS = `
WITH old AS MATERIALIZED (
  SELECT id FROM settlement_runs WHERE id < $1 AND finished_at IS NOT NULL ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
), ranges AS (
  DELETE FROM settlement_ranges WHERE run_id IN (SELECT id FROM old)
)
DELETE FROM settlement_runs WHERE id IN (SELECT id FROM old)`;

/** Forgets runs that are over and were asked for more than `retentionMs` ago; what they settled stays. Returns how many. */
export async function purgeRuns(database: Database, retentionMs: number, nowMs: number): Promise<number> {
  const values = [firstSnowflakeAt(nowMs - retentionMs), BATCH];
  for (let purged = 0; ; ) {
    const { rowCount } = await database.transaction('platform', Deadline.after(BATCH_DEADLINE_MS), (client) =>
      client.query({ text: PURGE_RUNS, values }),
    );
    purged += rowCount ?? 0;
    if ((rowCount ?? 0) < BATCH) return purged;
  }
}
