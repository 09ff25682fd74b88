import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import { merchantPages } from '#platform/merchant-pages.js';
import type { Database } from '#platform/postgres.js';

/** Deliveries deleted in one transaction. */
const BATCH = 2_000;
const BATCH_DEADLINE_MS = 30_000;

/**
 * $1 merchants, $2 deliveries with lower ids, $3 limit. What is due to an endpoint that may still get it stays. A delivery that
 * another worker is purging, or a sender writing to, is passed over: whoever waits for rows in no order may wait for ever.
 */
const PURGE_DELIVERIES = `
WITH old AS (
  SELECT d.merchant_id, d.endpoint_id, d.id FROM webhook_endpoints e
    JOIN webhook_deliveries d ON d.merchant_id = e.merchant_id AND d.endpoint_id = e.id AND d.id < $2
   WHERE e.merchant_id = ANY ($1::bigint[]) AND (d.status <> 'due' OR e.status = 'deleted') LIMIT $3
     FOR UPDATE OF d SKIP LOCKED
), unlogged AS (
  DELETE FROM webhook_attempts a USING old WHERE a.merchant_id = old.merchant_id AND a.delivery_id = old.id
)
DELETE FROM webhook_deliveries d USING old
 WHERE d.merchant_id = old.merchant_id AND d.endpoint_id = old.endpoint_id AND d.id = old.id`;

const PURGE_ENDPOINTS = `
DELETE FROM webhook_endpoints e WHERE merchant_id = ANY ($1::bigint[]) AND status = 'deleted' AND id < $2
   AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.merchant_id = e.merchant_id AND d.endpoint_id = e.id)`;

/** Forgets deliveries older than `retentionMs` with their attempts, and deleted endpoints with them. Returns how many deliveries. */
export async function purgeWebhooks(database: Database, retentionMs: number, nowMs: number): Promise<number> {
  const before = firstSnowflakeAt(nowMs - retentionMs);
  let purged = 0;
  for await (const merchantIds of merchantPages(database, newDeadline)) {
    for (let rows = BATCH; rows === BATCH; ) {
      const values = [int8Array(merchantIds), before, BATCH];
      const { rowCount } = await database.transaction({ merchantIds }, newDeadline(), (client) =>
        client.query({ text: PURGE_DELIVERIES, values }),
      );
      rows = rowCount ?? 0;
      purged += rows;
    }
    await database.transaction({ merchantIds }, newDeadline(), (client) =>
      client.query({ text: PURGE_ENDPOINTS, values: [int8Array(merchantIds), before] }),
    );
  }
  return purged;
}

function newDeadline(): Deadline {
  return Deadline.after(BATCH_DEADLINE_MS);
}
