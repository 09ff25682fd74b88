import { EFFECTIVE_AT_MAX_AHEAD_MS } from '#ledger/limits.js';
import { zoneOf } from '#ledger/merchant-day.js';
import type { TransactionClient } from '#platform/postgres.js';

/** A merchant's zone from a calendar day on; null: from the beginning. */
export interface ZoneFrom {
  timeZone: string;
  /** `YYYY-MM-DD`. */
  from: string | null;
}

/**
 * A zone never changes on days that have been reckoned: they begin this long from now at the earliest, since what is posted may be
 * effective EFFECTIVE_AT_MAX_AHEAD_MS from now and is summed up by day at once.
 */
const NOTICE_MS = 2 * EFFECTIVE_AT_MAX_AHEAD_MS;

/** $1 merchants. Those zones that followed the first, oldest first. */
const LIST_LATER = `
SELECT merchant_id::text AS merchant_id, time_zone, from_at <= now() AS in_force,
       CASE WHEN from_day > '-infinity' THEN to_char(from_day, 'YYYY-MM-DD') END AS from_day
  FROM merchant_time_zones WHERE merchant_id = ANY ($1::bigint[]) ORDER BY merchant_id, from_at`;

export interface LaterZoneRow {
  merchant_id: string;
  time_zone: string;
  in_force: boolean;
  from_day: string | null;
}

export async function listLaterZones(
  query: (text: string, values: unknown[]) => Promise<LaterZoneRow[]>,
  merchantIds: readonly bigint[],
): Promise<Map<bigint, LaterZoneRow[]>> {
  const rows = await query(LIST_LATER, [merchantIds.map(String)]);
  return Map.groupBy(rows, (row) => BigInt(row.merchant_id));
}

/** $1 merchant. Locks the merchant to the end of the transaction: changes of one merchant go one after another. */
const LOCK = `SELECT ${zoneOf('m', 'now()')} AS time_zone FROM merchants m WHERE id = $1 FOR NO KEY UPDATE`;

/** Answers the zone that the merchant is in now; undefined: no such merchant. */
export async function lockMerchant(client: TransactionClient, merchantId: bigint): Promise<string | undefined> {
  const { rows } = await client.query<{ time_zone: string }>({ text: LOCK, values: [merchantId] });
  return rows[0]?.time_zone;
}

/**
 * $1 merchant, $2 zone, $3 day, null: the first day after the merchant's present one that can still be chosen. When that day
 * begins in the new zone, whether that is too soon, and whether the zone before has had more than the whole day by then.
 */
const PLAN = `
SELECT to_char(day, 'YYYY-MM-DD') AS day, from_at < now() + interval '${NOTICE_MS} milliseconds' AS too_soon,
       from_at > (day::timestamp AT TIME ZONE ${zoneOf('m', `(from_at - interval '1 microsecond')`)}) + interval '24 hours' AS too_far
  FROM merchants m
  CROSS JOIN generate_series(0, CASE WHEN $3::date IS NULL THEN 3 ELSE 0 END) AS later
  CROSS JOIN LATERAL (SELECT coalesce($3::date, (now() AT TIME ZONE ${zoneOf('m', 'now()')})::date + 1) + later AS day) d
  CROSS JOIN LATERAL (SELECT day::timestamp AT TIME ZONE $2 AS from_at) f
 WHERE m.id = $1 ORDER BY too_soon, day LIMIT 1`;

export interface ZonePlan {
  day: string;
  too_soon: boolean;
  too_far: boolean;
}

export async function planZone(
  client: TransactionClient,
  merchantId: bigint,
  zone: string,
  from: string | undefined,
): Promise<ZonePlan> {
  const { rows } = await client.query<ZonePlan & Record<string, unknown>>({
    text: PLAN,
    values: [merchantId, zone, from ?? null],
  });
  return rows[0] as ZonePlan;
}

/** $1 merchant, $2 zone, $3 day or `-infinity`. What had been planned from then on is superseded. */
const SUPERSEDE = `
DELETE FROM merchant_time_zones WHERE merchant_id = $1 AND from_at >= ($3::date)::timestamp AT TIME ZONE $2`;
const INSERT = `
INSERT INTO merchant_time_zones (merchant_id, from_at, from_day, time_zone)
VALUES ($1, ($3::date)::timestamp AT TIME ZONE $2, $3::date, $2)`;

export async function putZone(
  client: TransactionClient,
  merchantId: bigint,
  { timeZone, from }: ZoneFrom,
): Promise<void> {
  const values = [merchantId, timeZone, from ?? '-infinity'];
  await client.query({ text: SUPERSEDE, values });
  await client.query({ text: INSERT, values });
}
