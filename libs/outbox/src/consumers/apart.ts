import type { TransactionClient } from '#platform/postgres.js';
import type { Position } from '../log/position.js';
import type { LoggedEvent } from './consumer.js';

/** When a merchant goes apart from its partition, and how far it comes in one turn. */
export interface ApartOptions {
  /** Most events of one merchant in a full page of its partition. */
  merchantEvents: number;
  /** Events of one turn of a merchant that goes apart. */
  turnEvents: number;
}

/** $1 consumer, $2 merchants, $3 $4 up to where their events have been applied. In the merchants' scope, with the partition's position. */
const GO_APART = {
  name: 'go-apart',
  text: `INSERT INTO merchant_positions (merchant_id, consumer, xid, seq) SELECT m, $1, $3, $4 FROM unnest($2::bigint[]) AS m ORDER BY m`,
};
/** The same of a stream that waited and is let go on; one that goes apart already goes back to where it waited. $2 merchant. */
const GO_ON_APART = {
  name: 'go-on-apart',
  text: `
WITH waited AS (DELETE FROM parked_streams WHERE consumer = $1 AND merchant_id = $2 RETURNING merchant_id, consumer, xid, seq)
INSERT INTO merchant_positions (merchant_id, consumer, xid, seq) SELECT merchant_id, consumer, xid, seq FROM waited
ON CONFLICT (merchant_id, consumer) DO UPDATE SET xid = excluded.xid, seq = excluded.seq`,
};
/** $1 consumer, $2 merchant, $3 events of a turn: up to the last of them, or to where the partition stands. */
const TURN = {
  name: 'turn-apart',
  text: `
SELECT coalesce(e.xid, p.xid) AS xid, coalesce(e.seq, p.seq) AS seq, e.xid IS NULL AS is_last
  FROM merchant_positions m JOIN consumer_positions p ON p.consumer = m.consumer AND p.partition = m.partition
  LEFT JOIN LATERAL (
    SELECT xid, seq FROM events WHERE merchant_id = m.merchant_id AND (xid, seq) > (m.xid, m.seq) AND (xid, seq) <= (p.xid, p.seq)
     ORDER BY xid, seq OFFSET $3::int - 1 LIMIT 1) e ON true
 WHERE m.consumer = $1 AND m.merchant_id = $2`,
};
/**
 * $1 consumer, $2 merchant. The partition stands still until the end of the transaction, and who slept past a claim of it finds
 * that claim gone: it may have passed over events because they were the merchant's.
 */
const STOP_PARTITION = {
  name: 'stop-partition',
  text: `
UPDATE consumer_positions SET claimed_by = NULL WHERE consumer = $1 AND partition = partition_of($2) AND claimed_until < now()
RETURNING xid, seq`,
};
/** $1 consumer, $2 merchant, $3 $4 where the partition stands. A statement of its own: it sees what was committed before the partition stood. */
const REJOIN = {
  name: 'rejoin',
  text: `
DELETE FROM merchant_positions m WHERE consumer = $1 AND merchant_id = $2 AND claimed_until < now()
   AND NOT EXISTS (SELECT FROM events e WHERE e.merchant_id = m.merchant_id AND (e.xid, e.seq) > (m.xid, m.seq)
                      AND (e.xid, e.seq) <= ($3::xid8, $4::bigint))`,
};

/** Of a page: who has more than its part of it. */
export function crowdOf(events: readonly LoggedEvent[], { merchantEvents }: ApartOptions): bigint[] {
  const counts = new Map<bigint, number>();
  for (const { merchantId } of events) counts.set(merchantId, (counts.get(merchantId) ?? 0) + 1);
  return [...counts].filter(([, count]) => count > merchantEvents).map(([merchantId]) => merchantId);
}

/** From here on, these merchants' events are applied by positions of their own, and passed over by the partition's. */
export async function goApart(
  client: TransactionClient,
  consumer: string,
  merchantIds: readonly bigint[],
  after: Position,
): Promise<void> {
  if (merchantIds.length === 0) return;
  await client.query({ ...GO_APART, values: [consumer, merchantIds, after.xid, after.seq] });
}

/** A stream that waited and has more to catch up with than a page goes on by a position of its own. */
export async function goOnApart(client: TransactionClient, consumer: string, merchantId: bigint): Promise<void> {
  await client.query({ ...GO_ON_APART, values: [consumer, merchantId] });
}

/** Up to where the merchant's next turn goes, and whether it is level with its partition then; undefined: it does not go apart. */
export async function turnOf(
  client: TransactionClient,
  consumer: string,
  merchantId: bigint,
  { turnEvents }: ApartOptions,
): Promise<{ through: Position; isLast: boolean } | undefined> {
  const values = [consumer, merchantId, turnEvents];
  const { rows } = await client.query<{ xid: bigint; seq: bigint; is_last: boolean }>({ ...TURN, values });
  return rows[0] && { through: { xid: rows[0].xid, seq: rows[0].seq }, isLast: rows[0].is_last };
}

/**
 * The merchant goes with its partition again, where it is level with it and nobody is at work on either. False: somebody is at work on
 * the partition. One that is not level stays apart. In the merchant's scope, and in a transaction of its own.
 */
export async function rejoin(client: TransactionClient, consumer: string, merchantId: bigint): Promise<boolean> {
  const { rows } = await client.query<{ xid: bigint; seq: bigint }>({
    ...STOP_PARTITION,
    values: [consumer, merchantId],
  });
  const [stands] = rows;
  if (!stands) return false;
  await client.query({ ...REJOIN, values: [consumer, merchantId, stands.xid, stands.seq] });
  return true;
}
