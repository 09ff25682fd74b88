import type pg from 'pg';
import type { TransactionClient } from '#platform/postgres.js';
import type { Consumer, LoggedEvent } from './consumer.js';
import type { Position } from './position.js';

export type DeadLetterStatus = 'parked' | 'redriving' | 'redriven' | 'discarding' | 'discarded';

const PARK = `
INSERT INTO dead_letters (merchant_id, id, consumer, xid, seq, event_type, event_version, parks, tries, error, trace_context, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, snowflake_time($2)) ON CONFLICT (merchant_id, consumer, xid, seq) DO NOTHING`;
const PARK_STREAM = `
INSERT INTO parked_streams (merchant_id, consumer, xid, seq) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`;

/** Leaves a dead letter; where order matters, the merchant's stream waits behind it. In the merchant's scope. */
export async function parkEvent(
  client: TransactionClient,
  consumer: Pick<Consumer, 'name' | 'parks'>,
  event: LoggedEvent,
  letter: { id: bigint; tries: number; error: string; before: Position },
): Promise<void> {
  const { merchantId, xid, seq, type, version, traceContext } = event;
  await client.query({
    text: PARK,
    values: [
      merchantId,
      letter.id,
      consumer.name,
      xid,
      seq,
      type,
      version,
      consumer.parks,
      letter.tries,
      letter.error,
      traceContext,
    ],
  });
  if (consumer.parks === 'event') return;
  await client.query({ text: PARK_STREAM, values: [merchantId, consumer.name, letter.before.xid, letter.before.seq] });
}

/** Those of the scope whose stream waits. */
export async function parkedMerchants(client: TransactionClient, consumer: string): Promise<Set<bigint>> {
  const { rows } = await client.query<{ merchant_id: bigint }>({
    name: 'parked-merchants',
    text: 'SELECT merchant_id FROM parked_streams WHERE consumer = $1',
    values: [consumer],
  });
  return new Set(rows.map((row) => row.merchant_id));
}

export interface DecidedLetter {
  merchantId: bigint;
  id: bigint;
  consumer: string;
  decision: 'redrive' | 'discard';
  partition: number;
  /** The event itself. */
  at: Position;
}

interface DecidedRow extends pg.QueryResultRow {
  merchant_id: bigint;
  id: bigint;
  consumer: string;
  status: DeadLetterStatus;
  partition: number;
  xid: bigint;
  seq: bigint;
}

const DECIDED = `
SELECT merchant_id, id, consumer, status, xid, seq, partition_of(merchant_id) AS partition FROM dead_letters
 WHERE consumer = $1 AND status IN ('redriving', 'discarding') ORDER BY merchant_id, id LIMIT $2`;
const DECIDED_ONE = `
SELECT merchant_id, id, consumer, status, xid, seq, partition_of(merchant_id) AS partition FROM dead_letters
 WHERE merchant_id = $1 AND id = $2 AND status IN ('redriving', 'discarding') FOR UPDATE`;

/** Dead letters whose fate is decided and not yet carried out, of all merchants. In the scope `relay`. */
export async function decidedLetters(
  client: TransactionClient,
  consumer: string,
  limit: number,
): Promise<DecidedLetter[]> {
  return (await client.query<DecidedRow>({ text: DECIDED, values: [consumer, limit] })).rows.map(decided);
}

/** A merchant's stream that was parked, and that no open dead letter holds up any more. */
export interface FreeStream {
  merchantId: bigint;
  partition: number;
}

const FREE_STREAMS = `
SELECT s.merchant_id, s.partition FROM parked_streams s
 WHERE s.consumer = $1 AND NOT EXISTS (
         SELECT FROM dead_letters d WHERE d.merchant_id = s.merchant_id AND d.consumer = s.consumer AND d.parks = 'stream'
            AND d.status IN ('parked', 'redriving', 'discarding'))
 LIMIT $2`;

/** Streams that are to catch up with their partition, of all merchants. In the scope `relay`. */
export async function freeStreams(client: TransactionClient, consumer: string, limit: number): Promise<FreeStream[]> {
  const query = { text: FREE_STREAMS, values: [consumer, limit] };
  const { rows } = await client.query<{ merchant_id: bigint; partition: number }>(query);
  return rows.map(({ merchant_id, partition }) => ({ merchantId: merchant_id, partition }));
}

/** Locked; undefined: another process was faster. In the merchant's scope. */
export async function lockDecided(
  client: TransactionClient,
  merchantId: bigint,
  id: bigint,
): Promise<DecidedLetter | undefined> {
  const [row] = (await client.query<DecidedRow>({ text: DECIDED_ONE, values: [merchantId, id] })).rows;
  return row && decided(row);
}

function decided(row: DecidedRow): DecidedLetter {
  return {
    merchantId: row.merchant_id,
    id: row.id,
    consumer: row.consumer,
    decision: row.status === 'redriving' ? 'redrive' : 'discard',
    partition: row.partition,
    at: { xid: row.xid, seq: row.seq },
  };
}

export async function settleLetter(
  client: TransactionClient,
  merchantId: bigint,
  id: bigint,
  settled: { status: 'redriven' | 'discarded' } | { status: 'parked'; error: string },
): Promise<void> {
  const error = 'error' in settled ? settled.error : null;
  await client.query({
    text: `UPDATE dead_letters SET status = $3, error = coalesce($4, error), tries = tries + CASE WHEN $4::text IS NULL THEN 0 ELSE 1 END
            WHERE merchant_id = $1 AND id = $2 AND status IN ('redriving', 'discarding')`,
    values: [merchantId, id, settled.status, error],
  });
}

export async function parkedPosition(
  client: TransactionClient,
  merchantId: bigint,
  consumer: string,
): Promise<Position | undefined> {
  const { rows } = await client.query<{ xid: bigint; seq: bigint }>({
    text: 'SELECT xid, seq FROM parked_streams WHERE merchant_id = $1 AND consumer = $2 FOR UPDATE',
    values: [merchantId, consumer],
  });
  return rows[0];
}

/** `to` undefined: the stream has caught up and waits no longer. */
export async function moveParked(
  client: TransactionClient,
  merchantId: bigint,
  consumer: string,
  to: Position | undefined,
): Promise<void> {
  await client.query(
    to
      ? {
          text: 'UPDATE parked_streams SET xid = $3, seq = $4 WHERE merchant_id = $1 AND consumer = $2',
          values: [merchantId, consumer, to.xid, to.seq],
        }
      : {
          text: 'DELETE FROM parked_streams WHERE merchant_id = $1 AND consumer = $2',
          values: [merchantId, consumer],
        },
  );
}
