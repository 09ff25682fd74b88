import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { zoneOf } from '#ledger/reading/merchant-day.js';
import { int8Array, textArray, timestamptzArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { ENDED_JSON } from '../matching/breaks.js';
import { timeJson } from '../matching/sides.js';
import type { ReportKey } from '../reports/report.js';
import { INTERNAL, ITEM_PREFIX } from './found.js';

const IN_WORK = `SELECT count(*)::int AS count FROM reconciliations WHERE status = 'matching' AND source = '${INTERNAL}'`;

/**
 * $1 at most, $2 the moment. What is checked is the day that was settled last; where it has been, and none was settled for two days, or ever, the day that
 * has ended where the merchant is. A day of which there is a report, failed or not, has been looked at; one after another of a merchant's is.
 */
const DUE = `
SELECT m.id AS merchant_id, d.ended_at
  FROM merchants m
  LEFT JOIN settlement_positions p ON p.merchant_id = m.id
 CROSS JOIN LATERAL (SELECT coalesce(max(r.period_to), '-infinity') AS until FROM reconciliations r
                      WHERE r.merchant_id = m.id AND r.source = '${INTERNAL}') checked
 CROSS JOIN LATERAL (SELECT date_trunc('day', $2::timestamptz, ${zoneOf('m', '$2::timestamptz')}) AS midnight) t
 CROSS JOIN LATERAL (
   SELECT CASE WHEN p.ended_at > checked.until THEN p.ended_at
               WHEN m.created_at < t.midnight AND coalesce(p.ended_at, '-infinity') < t.midnight - interval '2 days' THEN t.midnight END AS ended_at) d
 WHERE d.ended_at > checked.until
   AND NOT EXISTS (SELECT FROM reconciliations r
                    WHERE r.merchant_id = m.id AND r.source = '${INTERNAL}' AND r.status IN ('receiving', 'matching'))
 ORDER BY m.id LIMIT $1`;

/** $1 merchants, $2 ids, $3 ends of their days. A merchant and day of which another worker has begun one is left out. */
const BEGIN = `
INSERT INTO reconciliations (merchant_id, id, created_at, source, period_to, sla_days, status)
SELECT merchant_id, id, snowflake_time(id), '${INTERNAL}', ended_at, 0, 'matching'
  FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS u (merchant_id, id, ended_at)
ON CONFLICT (merchant_id, period_to) WHERE source = '${INTERNAL}' DO NOTHING
RETURNING merchant_id, id`;

/** $1 merchant, $2 id, $3 the operator, $4 trace; in the merchant's turn. Of no day: the day's own check comes as ever. */
export const BEGIN_NOW = `
WITH running AS (
  SELECT id FROM reconciliations WHERE merchant_id = $1 AND source = '${INTERNAL}' AND status = 'matching' ORDER BY id LIMIT 1
), begun AS (
  INSERT INTO reconciliations (merchant_id, id, created_at, source, asked_by, sla_days, status, trace_context)
  SELECT $1, $2, snowflake_time($2), '${INTERNAL}', $3, 0, 'matching', $4 WHERE NOT EXISTS (SELECT FROM running)
  RETURNING id
)
SELECT id FROM running UNION ALL SELECT id FROM begun`;

interface Due extends Record<string, unknown> {
  merchant_id: bigint;
  ended_at: number;
}

/** Merchants of whom a day is to be checked that is later than what was checked last: so many that at most `atOnce` reports are in work. */
export async function dueMerchants(
  database: Database,
  { atOnce, nowMs }: { atOnce: number; nowMs: number },
  deadline: Deadline,
): Promise<{ due: readonly Due[]; mayBeMore: boolean }> {
  const [inWork] = await database.read<{ count: number }>('platform', deadline, { text: IN_WORK });
  const room = Math.max(0, atOnce - (inWork?.count ?? 0));
  const due = await database.read<Due>('platform', deadline, { text: DUE, values: [room, new Date(nowMs)] });
  return { due, mayBeMore: due.length === room };
}

/** Those that nobody else has begun. */
export async function beginReports(
  { database, ids }: { database: Database; ids: SnowflakeGenerator },
  due: readonly Due[],
  deadline: Deadline,
): Promise<ReportKey[]> {
  if (due.length === 0) return [];
  const merchantIds = due.map(({ merchant_id }) => merchant_id);
  const ends = timestamptzArray(due.map(({ ended_at }) => ended_at));
  const values = [int8Array(merchantIds), int8Array(due.map(() => ids.next())), ends];
  const rows = await database.write<{ merchant_id: bigint; id: bigint }>({ merchantIds }, deadline, {
    text: BEGIN,
    values,
  });
  return rows.map(({ merchant_id: merchantId, id }) => ({ merchantId, id }));
}

const TIMES_ENDED = `
SELECT item, count(*)::int AS times FROM breaks
 WHERE merchant_id = $1 AND item = ANY ($2::text[]) AND status IN ('auto_resolved', 'resolved') GROUP BY item`;

/** How often a break of each item has ended, those that people have written off aside. */
export async function timesEnded(
  database: Database,
  merchantId: bigint,
  items: readonly string[],
  deadline: Deadline,
): Promise<Map<string, number>> {
  const query = { text: TIMES_ENDED, values: [merchantId, textArray(items)] };
  const rows = await database.read<{ item: string; times: number }>({ merchantIds: [merchantId] }, deadline, query);
  return new Map(rows.map(({ item, times }) => [item, times]));
}

/** $1 merchant, $2 the last that was looked at, $3 at most. */
const OPEN = `
SELECT id, item, kind, reference FROM breaks
 WHERE merchant_id = $1 AND id > $2 AND resolution IS NULL AND item >= '${ITEM_PREFIX}' AND item < '${ITEM_PREFIX.replace('/', '0')}'
 ORDER BY id LIMIT $3`;

export interface OpenBreak {
  readonly id: bigint;
  readonly item: string;
  readonly kind: string;
  readonly reference: string | null;
}

/** Breaks of our own checks that nobody has ended, a few at a time. */
export async function* openBreaks(
  database: Database,
  merchantId: bigint,
  page: number,
  deadline: () => Deadline,
): AsyncGenerator<OpenBreak[]> {
  for (let last = 0n, count = page; count === page; ) {
    const query = { text: OPEN, values: [merchantId, last, page] };
    const scope = { merchantIds: [merchantId] };
    const rows = await database.read<OpenBreak & Record<string, unknown>>(scope, deadline(), query);
    if (rows.length > 0) yield rows;
    last = rows.at(-1)?.id ?? last;
    count = rows.length;
  }
}

/** $1 merchant, $2 breaks, $3 the report. A proposal is dropped, and the resolution says so. */
export const END_GONE = `
WITH ended AS (
  UPDATE breaks b SET status = 'auto_resolved', proposal = NULL, resolution = json_build_object(
    'by', NULL, 'approved_by', NULL, 'transaction_id', NULL,
    'reason', 'No longer found by the check of ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD') || '.', 'at', ${timeJson('now()')},
    'reconciliation_id', $3::bigint::text, 'dropped_proposal', b.proposal)
   WHERE b.merchant_id = $1 AND b.id = ANY ($2::bigint[]) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)
SELECT NULL::json AS opened, (SELECT json_agg(break ORDER BY id) FROM ended) AS ended`;

const LOOKED_AT = `UPDATE reconciliations SET rows = $3 WHERE merchant_id = $1 AND id = $2 AND status = 'matching'`;
const FAIL = `UPDATE reconciliations SET status = 'failed', failure = $3 WHERE merchant_id = $1 AND id = $2 AND status = 'matching'`;

/** How much was looked at. */
export async function noteLookedAt(
  database: Database,
  { merchantId, id }: ReportKey,
  counted: bigint,
  deadline: Deadline,
): Promise<void> {
  await database.write({ merchantIds: [merchantId] }, deadline, { text: LOOKED_AT, values: [merchantId, id, counted] });
}

export async function failCheck(
  database: Database,
  { merchantId, id }: ReportKey,
  why: string,
  deadline: Deadline,
): Promise<void> {
  await database.write({ merchantIds: [merchantId] }, deadline, { text: FAIL, values: [merchantId, id, why] });
}
