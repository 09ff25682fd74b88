import type pg from 'pg';
import { notFound } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { DeadLetterStatus } from './dead-letter-store.js';
import type { Position } from './position.js';

/** A dead letter as operators see it. */
export interface DeadLetter {
  merchantId: bigint;
  id: bigint;
  consumer: string;
  /** The event's place in the log. */
  at: Position;
  eventType: string;
  eventVersion: number;
  parks: 'event' | 'stream';
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

interface Row extends pg.QueryResultRow {
  merchant_id: bigint;
  id: bigint;
  consumer: string;
  xid: bigint;
  seq: bigint;
  event_type: string;
  event_version: number;
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

const COLUMNS = `merchant_id, id, consumer, xid, seq, event_type, event_version, parks, status, tries, error, trace_context,
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
  return (await database.read<Row>('platform', deadline, { ...LIST, values })).map(letterOf);
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
  const [row] = (await client.query<Row>({ ...FIND, values: [merchantId, id] })).rows;
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

function letterOf(row: Row): DeadLetter {
  const { decided_by: by, decided_at: atMs, reason } = row;
  return {
    merchantId: row.merchant_id,
    id: row.id,
    consumer: row.consumer,
    at: { xid: row.xid, seq: row.seq },
    eventType: row.event_type,
    eventVersion: row.event_version,
    parks: row.parks,
    status: row.status,
    tries: row.tries,
    error: row.error,
    traceContext: row.trace_context ?? undefined,
    createdAtMs: row.created_at,
    decided: by === null || atMs === null || reason === null ? undefined : { by, atMs, reason },
  };
}
