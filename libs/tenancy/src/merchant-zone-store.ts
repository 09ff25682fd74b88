import { EFFECTIVE_AT_MAX_AHEAD_MS } from '#ledger/posting/command.js';
import { zoneOf } from '#ledger/reading/merchant-day.js';
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
const KNOWN_UNTIL = `now() + interval '${NOTICE_MS} milliseconds'`;

/** $1 merchants. Those zones that followed the first, oldest first. */
const LIST_LATER = `
SELECT merchant_id, time_zone, from_at <= now() AS in_force,
       CASE WHEN from_day > '-infinity' THEN to_char(from_day, 'YYYY-MM-DD') END AS from_day
  FROM merchant_time_zones WHERE merchant_id = ANY ($1::bigint[]) ORDER BY merchant_id, from_at`;

export interface LaterZoneRow extends Record<string, unknown> {
  merchant_id: bigint;
  time_zone: string;
  in_force: boolean;
  from_day: string | null;
}

export async function listLaterZones(
  client: TransactionClient,
  merchantIds: readonly bigint[],
): Promise<Map<bigint, LaterZoneRow[]>> {
  const { rows } = await client.query<LaterZoneRow>({ text: LIST_LATER, values: [merchantIds] });
  return Map.groupBy(rows, (row) => row.merchant_id);
}

/** $1 merchant. Locks the merchant to the end of the transaction: changes of one merchant go one after another. */
const LOCK = `SELECT ${zoneOf('m', 'now()')} AS time_zone FROM merchants m WHERE id = $1 FOR NO KEY UPDATE`;

/** Returns the zone that the merchant is in now; undefined: no such merchant. */
export async function lockMerchant(client: TransactionClient, merchantId: bigint): Promise<string | undefined> {
  const { rows } = await client.query<{ time_zone: string }>({ text: LOCK, values: [merchantId] });
  return rows[0]?.time_zone;
}

/**
 * $1 merchant, $2 zone, $3 day, null: the first day after the merchant's present one that can still be chosen. Whether that day
 * begins too soon in the new zone.
 */
const PLAN = `
SELECT to_char(day, 'YYYY-MM-DD') AS day, from_at < ${KNOWN_UNTIL} AS too_soon
  FROM merchants m
  CROSS JOIN generate_series(0, CASE WHEN $3::date IS NULL THEN 3 ELSE 0 END) AS later
  CROSS JOIN LATERAL (SELECT coalesce($3::date, (now() AT TIME ZONE ${zoneOf('m', 'now()')})::date + 1) + later AS day) d
  CROSS JOIN LATERAL (SELECT day::timestamp AT TIME ZONE $2 AS from_at) f
 WHERE m.id = $1 ORDER BY too_soon, day LIMIT 1`;

export interface ZonePlan {
  day: string;
  too_soon: boolean;
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

/**
 * $1 merchant, $2 zone, $3 day or `-infinity`. What had been planned from that day on is superseded, also where the day begins
 * earlier in the zone that had been planned for it.
 */
const SUPERSEDE = `
DELETE FROM merchant_time_zones
 WHERE merchant_id = $1
   AND (from_at >= ($3::date)::timestamp AT TIME ZONE $2 OR (from_day >= $3::date AND from_at >= ${KNOWN_UNTIL}))`;

export async function supersedeZones(client: TransactionClient, merchantId: bigint, first: ZoneFrom): Promise<void> {
  await client.query({ text: SUPERSEDE, values: valuesOf(merchantId, first) });
}

/** $1 merchant, $2 zone, $3 day. Whether the zone before, of those that are left, has had more than the whole day by then. */
const IS_OVER = `
SELECT from_at > ($3::date::timestamp AT TIME ZONE ${zoneOf('m', `(from_at - interval '1 microsecond')`)}) + interval '24 hours' AS is_over
  FROM merchants m CROSS JOIN LATERAL (SELECT $3::date::timestamp AT TIME ZONE $2 AS from_at) f
 WHERE m.id = $1`;

export async function isOverInZoneBefore(
  client: TransactionClient,
  merchantId: bigint,
  first: ZoneFrom,
): Promise<boolean> {
  const { rows } = await client.query<{ is_over: boolean }>({ text: IS_OVER, values: valuesOf(merchantId, first) });
  return rows[0]?.is_over === true;
}

const INSERT = `
INSERT INTO merchant_time_zones (merchant_id, from_at, from_day, time_zone)
VALUES ($1, ($3::date)::timestamp AT TIME ZONE $2, $3::date, $2)`;

export async function insertZone(client: TransactionClient, merchantId: bigint, first: ZoneFrom): Promise<void> {
  await client.query({ text: INSERT, values: valuesOf(merchantId, first) });
}

function valuesOf(merchantId: bigint, { timeZone, from }: ZoneFrom): unknown[] {
  return [merchantId, timeZone, from ?? '-infinity'];
}
