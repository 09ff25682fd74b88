import { boolArray, int8Array, textArray, timestamptzArray } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import { PLATFORM_TENANT } from '#platform/idempotency.js';
import { merchantPages } from '#platform/merchant-pages.js';
import type { Database } from '#platform/postgres.js';
import type { UsageSum } from './usage-sums.js';

/**
 * $1 process, $2 number of the flush: one that has been added is not added again, also where the first one has not committed yet,
 * since the second waits for its row. Rows are locked in the order of their key, whoever adds to them.
 */
const ADD = `
WITH news AS (
  INSERT INTO usage_flushes AS f (process, flush) VALUES ($1, $2)
  ON CONFLICT (process) DO UPDATE SET flush = excluded.flush, flushed_at = now() WHERE f.flush < excluded.flush
  RETURNING flush
)
INSERT INTO merchant_usage AS u (merchant_id, hour, price, by_operator, requests, units, refused)
SELECT s.* FROM news, unnest($3::bigint[], $4::timestamptz[], $5::text[], $6::boolean[], $7::bigint[], $8::bigint[], $9::bigint[])
       AS s (merchant_id, hour, price, by_operator, requests, units, refused)
 ORDER BY merchant_id, hour, price COLLATE "C", by_operator
ON CONFLICT (merchant_id, hour, price, by_operator) DO UPDATE SET
  requests = u.requests + excluded.requests, units = u.units + excluded.units, refused = u.refused + excluded.refused`;

export interface UsageFlush {
  readonly process: string;
  /** Ascends. */
  readonly number: number;
  /** Of any merchants, and none twice. */
  readonly sums: readonly UsageSum[];
}

/** Adds sums, once however often it is asked to. */
export async function addUsage(database: Database, flush: UsageFlush, deadline: Deadline): Promise<void> {
  const { process, number, sums } = flush;
  const counts = (of: (sum: UsageSum) => number) => int8Array(sums.map((sum) => BigInt(of(sum))));
  // Among the platform's turns: behind its own requests a merchant's flood would keep its flush from coming.
  const merchantIds = [PLATFORM_TENANT, ...new Set(sums.map(({ merchantId }) => merchantId))];
  await database.write({ merchantIds }, deadline, {
    name: 'add-usage',
    text: ADD,
    values: [
      process,
      number,
      int8Array(sums.map(({ merchantId }) => merchantId)),
      timestamptzArray(sums.map(({ hourMs }) => hourMs)),
      textArray(sums.map(({ price }) => price)),
      boolArray(sums.map(({ byOperator }) => byOperator)),
      counts(({ requests }) => requests),
      counts(({ units }) => units),
      counts(({ refused }) => refused),
    ],
  });
}

/** Where a row stands among its merchant's. */
export type UsageKey = Pick<UsageSum, 'hourMs' | 'price' | 'byOperator'>;

export interface UsageFilter {
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
}

const LIST = `
SELECT hour, price, by_operator, requests, units, refused FROM merchant_usage
 WHERE merchant_id = $1 AND hour >= coalesce($2::timestamptz, '-infinity') AND hour < coalesce($3::timestamptz, 'infinity')
   AND (hour, price, by_operator) < (coalesce($4::timestamptz, 'infinity'), coalesce($5::text, ''), coalesce($6::boolean, false))
 ORDER BY hour DESC, price DESC, by_operator DESC LIMIT $7`;

interface UsageRow extends Record<string, unknown> {
  hour: number;
  price: string;
  by_operator: boolean;
  requests: bigint;
  units: bigint;
  refused: bigint;
}

/** A merchant's rows below `before`, newest hour first. */
export async function listUsage(
  database: Database,
  merchantId: bigint,
  page: { filter: UsageFilter; before: UsageKey | undefined; limit: number },
  deadline: Deadline,
): Promise<UsageSum[]> {
  const { filter, before, limit } = page;
  const at = (ms: number | undefined) => (ms === undefined ? null : new Date(ms));
  const key = [at(before?.hourMs), before?.price ?? null, before?.byOperator ?? null];
  const values = [merchantId, at(filter.fromMs), at(filter.toMs), ...key, limit];
  const rows = await database.read<UsageRow>({ merchantIds: [merchantId] }, deadline, { text: LIST, values });
  return rows.map((row) => ({
    merchantId,
    hourMs: row.hour,
    price: row.price,
    byOperator: row.by_operator,
    requests: Number(row.requests),
    units: Number(row.units),
    refused: Number(row.refused),
  }));
}

/** Rows deleted in one transaction. */
const BATCH = 5_000;
const BATCH_DEADLINE_MS = 30_000;

/** Those that another worker is deleting are passed over. */
const PURGE = `
DELETE FROM merchant_usage WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM merchant_usage WHERE merchant_id = ANY ($1::bigint[]) AND hour < $2 LIMIT $3 FOR UPDATE SKIP LOCKED))
RETURNING 1`;

/** A process that has added nothing for so long has nothing to add again. */
const FORGET_FLUSHES = `DELETE FROM usage_flushes WHERE flushed_at < now() - interval '7 days'`;

/** Forgets hours that began more than `retentionMs` ago. Returns how many rows. */
export async function purgeUsage(database: Database, retentionMs: number, nowMs: number): Promise<number> {
  const before = new Date(nowMs - retentionMs);
  let purged = 0;
  for await (const merchantIds of merchantPages(database, newDeadline)) {
    for (let rows = BATCH; rows === BATCH; purged += rows) {
      const query = { text: PURGE, values: [int8Array(merchantIds), before, BATCH] };
      rows = (await database.write({ merchantIds }, newDeadline(), query)).length;
    }
  }
  await database.write('platform', newDeadline(), { text: FORGET_FLUSHES });
  return purged;
}

function newDeadline(): Deadline {
  return Deadline.after(BATCH_DEADLINE_MS);
}
