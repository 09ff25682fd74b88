import type pg from 'pg';
import { notFound } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { Consumer, LoggedEvent } from '../consumers/consumer.js';
import type { Position } from '../log/position.js';

export type DeadLetterStatus = 'parked' | 'redriving' | 'redriven' | 'discarding' | 'discarded';

/** A dead letter as operators see it. */
export interface DeadLetter {
  merchantId: bigint;
  id: bigint;
  consumer: string;
  /** The event's place in the log; undefined: it is about something of a room's own, which is no event. */
  at: Position | undefined;
  eventType: string;
  eventVersion: number | undefined;
  /** What it says, as JSON, where it is no event. */
  data: string | undefined;
  failureScope: 'event' | 'stream';
  status: DeadLetterStatus;
  tries: number;
  error: string;
  /** W3C traceparent of the request that caused the event. */
  traceContext: string | undefined;
  createdAtMs: number;
  decided: { by: string; atMs: number; reason: string } | undefined;
}

export interface DeadLetterFilter {
  status: DeadLetterStatus | undefined;
  consumer: string | undefined;
  merchantId: bigint | undefined;
}

interface LetterRow extends pg.QueryResultRow {
  merchant_id: bigint;
  id: bigint;
  consumer: string;
  xid: bigint | null;
  seq: bigint | null;
  event_type: string;
  event_version: number | null;
  data: string | null;
  parks: 'event' | 'stream';
  status: DeadLetterStatus;
  tries: number;
  error: string;
  trace_context: string | null;
  created_at: number;
  decided_by: string | null;
  decided_at: number | null;
  reason: string | null;
}

const COLUMNS = `merchant_id, id, consumer, xid, seq, event_type, event_version, data, parks, status, tries, error, trace_context,
  created_at, decided_by, decided_at, reason`;

/** $1 limit, $2 below this id, $3 status, $4 consumer, $5 merchant; null: whichever. */
const LIST = {
  name: 'list-dead-letters',
  text: `
SELECT ${COLUMNS} FROM dead_letters
 WHERE ($2::bigint IS NULL OR id < $2) AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR consumer = $4)
   AND ($5::bigint IS NULL OR merchant_id = $5)
 ORDER BY id DESC LIMIT $1`,
};
const MERCHANT_OF = { name: 'merchant-of-dead-letter', text: 'SELECT merchant_id FROM dead_letters WHERE id = $1' };
const FIND = {
  name: 'find-dead-letter',
  text: `SELECT ${COLUMNS} FROM dead_letters WHERE merchant_id = $1 AND id = $2`,
};
/** $3 what is being done about it, $4 who says so, $5 why. */
const DECIDE = {
  name: 'decide-dead-letter',
  text: `
UPDATE dead_letters SET status = $3, decided_by = $4, decided_at = now(), reason = $5
 WHERE merchant_id = $1 AND id = $2 AND status = 'parked'`,
};

/**
 * Newest first, below `beforeId`. There are few dead letters, or something else is wrong: no index serves the list of all
 * merchants, since every index leads with the merchant.
 */
export async function listDeadLetters(
  database: Database,
  query: { filter: DeadLetterFilter; beforeId: bigint | undefined; limit: number },
  deadline: Deadline,
): Promise<DeadLetter[]> {
  const { status, consumer, merchantId } = query.filter;
  const values = [query.limit, query.beforeId, status, consumer, merchantId].map((value) => value ?? null);
  return (await database.read<LetterRow>('platform', deadline, { ...LIST, values })).map(letterOf);
}

/** Throws `not_found`. */
export async function merchantOfDeadLetter(database: Database, id: bigint, deadline: Deadline): Promise<bigint> {
  const [row] = await database.read<{ merchant_id: bigint }>('platform', deadline, { ...MERCHANT_OF, values: [id] });
  if (!row) throw notFound('dead letter');
  return row.merchant_id;
}

/** In the merchant's scope. */
export async function findDeadLetter(
  client: TransactionClient,
  merchantId: bigint,
  id: bigint,
): Promise<DeadLetter | undefined> {
  const [row] = (await client.query<LetterRow>({ ...FIND, values: [merchantId, id] })).rows;
  return row && letterOf(row);
}

/** Changes a letter that nothing has been decided about; a worker does the rest. In the merchant's scope. */
export async function decideDeadLetter(
  client: TransactionClient,
  letter: { merchantId: bigint; id: bigint },
  decision: { status: 'redriving' | 'discarding'; by: string; reason: string },
): Promise<void> {
  const values = [letter.merchantId, letter.id, decision.status, decision.by, decision.reason];
  await client.query({ ...DECIDE, values });
}

function letterOf(row: LetterRow): DeadLetter {
  const { xid, seq, decided_by: by, decided_at: atMs, reason } = row;
  return {
    merchantId: row.merchant_id,
    id: row.id,
    consumer: row.consumer,
    at: xid === null || seq === null ? undefined : { xid, seq },
    eventType: row.event_type,
    eventVersion: row.event_version ?? undefined,
    data: row.data ?? undefined,
    failureScope: row.parks,
    status: row.status,
    tries: row.tries,
    error: row.error,
    traceContext: row.trace_context ?? undefined,
    createdAtMs: row.created_at,
    decided: by === null || atMs === null || reason === null ? undefined : { by, atMs, reason },
  };
}

const PARK = `
INSERT INTO dead_letters (merchant_id, id, consumer, xid, seq, event_type, event_version, parks, tries, error, trace_context, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, snowflake_time($2)) ON CONFLICT (merchant_id, consumer, xid, seq) DO NOTHING`;
const PARK_STREAM = `
INSERT INTO parked_streams (merchant_id, consumer, xid, seq) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`;

/** Leaves a dead letter; where order matters, the merchant's stream waits behind it. In the merchant's scope. */
export async function parkEvent(
  client: TransactionClient,
  consumer: Pick<Consumer, 'name' | 'failureScope'>,
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
      consumer.failureScope,
      letter.tries,
      letter.error,
      traceContext,
    ],
  });
  if (consumer.failureScope === 'event') return;
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
  /** Its W3C traceparent. */
  traceContext?: string | undefined;
}

interface DecidedRow extends pg.QueryResultRow {
  merchant_id: bigint;
  id: bigint;
  consumer: string;
  status: DeadLetterStatus;
  partition: number;
  xid: bigint;
  seq: bigint;
  trace_context: string | null;
}

const DECIDED = `
SELECT merchant_id, id, consumer, status, xid, seq, partition_of(merchant_id) AS partition, trace_context FROM dead_letters
 WHERE consumer = $1 AND status IN ('redriving', 'discarding') ORDER BY merchant_id, id LIMIT $2`;
const DECIDED_ONE = `
SELECT merchant_id, id, consumer, status, xid, seq, partition_of(merchant_id) AS partition, trace_context FROM dead_letters
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
    traceContext: row.trace_context ?? undefined,
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
