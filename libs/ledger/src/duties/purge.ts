import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { MAY_REACT_AGAIN } from '#outbox/consumers/reactions.js';
import { int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import { PLATFORM_TENANT } from '#platform/idempotency.js';
import { merchantPages } from '#platform/merchant-pages.js';
import type { Database } from '#platform/postgres.js';

/** Rows deleted in one transaction: short locks, little bloat at a time. */
const BATCH = 5_000;
const BATCH_DEADLINE_MS = 30_000;
/** A fence token matters while its writer may still commit, which its group's timeout bounds to seconds; a day is generous. */
const FENCE_RETENTION_MS = 24 * 3_600_000;

/** By ctid: rows are visited in the order in which they lie, so that two workers that purge at once cannot wait for each other. */
const PURGE_KEYS = `
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM idempotency_keys k WHERE merchant_id = ANY ($1::bigint[]) AND created_at < $2 AND NOT ${MAY_REACT_AGAIN} LIMIT $3))`;

/** Forgets idempotency keys older than `retentionMs`, but for those of reactions that may come again. Returns how many. */
export async function purgeIdempotencyKeys(database: Database, retentionMs: number, nowMs: number): Promise<number> {
  const before = new Date(nowMs - retentionMs);
  let purged = 0;
  const purge = (merchantIds: readonly bigint[]): Promise<number> =>
    inBatches(() =>
      database.transaction({ merchantIds }, newDeadline(), (client) =>
        client.query({ text: PURGE_KEYS, values: [int8Array(merchantIds), before, BATCH] }),
      ),
    );
  for await (const merchantIds of merchantPages(database, newDeadline)) purged += await purge(merchantIds);
  return purged + (await purge([PLATFORM_TENANT]));
}

/**
 * Forgets old fence tokens. The horizon is raised and committed first: from then on PostgreSQL refuses those tokens, so a
 * group that was voided by its token stays void after the row is gone. (Deleting by age alone is a mutant
 * that test/balance-model catches.)
 */
export async function purgeWriteFences(database: Database, nowMs: number): Promise<number> {
  const horizon = firstSnowflakeAt(nowMs - FENCE_RETENTION_MS);
  await database.transaction('platform', newDeadline(), (client) =>
    client.query({ text: 'UPDATE write_fence_horizon SET token = $1 WHERE token < $1', values: [horizon] }),
  );
  return inBatches(() =>
    database.transaction('platform', newDeadline(), (client) =>
      client.query({
        text: `DELETE FROM write_fences WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM write_fences WHERE token <= (SELECT token FROM write_fence_horizon) ORDER BY token LIMIT $1))`,
        values: [BATCH],
      }),
    ),
  );
}

async function inBatches(deleteBatch: () => Promise<{ rowCount: number | null }>): Promise<number> {
  for (let total = 0; ; ) {
    const { rowCount } = await deleteBatch();
    total += rowCount ?? 0;
    if ((rowCount ?? 0) < BATCH) return total;
  }
}

function newDeadline(): Deadline {
  return Deadline.after(BATCH_DEADLINE_MS);
}
