import type pg from 'pg';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { LoggedEvent } from '../consumers/consumer.js';
import type { Position } from './position.js';

/** Of `events e`. */
export const LOGGED_COLUMNS = 'e.merchant_id, e.xid, e.seq, e.type, e.version, e.occurred_at, e.trace_context, e.data';

/**
 * The place of the oldest transaction that is still open: it may yet commit events there, and a reader who had gone past would never
 * see them. Below it nothing can appear any more; nor from an earlier epoch, whose server is gone. Asked once a statement, and as a
 * value: a function within the condition might leak rows past row-level security, and the index would not be used.
 */
export const LOG_HORIZON = '(SELECT log_horizon())';

/** Of every reader's WHERE clause, with the events as `e`. */
const SETTLED = `e.xid < ${LOG_HORIZON}`;

/** $1 merchant, $2 and $3 position, $4 how many. A range of the primary key. */
const READ_LOG = `
SELECT ${LOGGED_COLUMNS} FROM events e
 WHERE e.merchant_id = $1 AND (e.xid, e.seq) > ($2::xid8, $3::bigint) AND ${SETTLED}
 ORDER BY e.xid, e.seq LIMIT $4`;

/** $1 merchant, $2 and $3 position. A row where events behind it have been forgotten. */
const FORGOTTEN = `
SELECT 1 FROM event_horizons WHERE merchant_id = $1 AND (xid, seq) > ($2::xid8, $3::bigint)`;

/** $1 merchants, $2 and $3 a position of each. One look into the primary key a merchant. */
const FIND_NEWS = `
SELECT k.merchant_id FROM unnest($1::bigint[], $2::xid8[], $3::bigint[]) AS k (merchant_id, xid, seq)
 CROSS JOIN LATERAL (
   SELECT 1 FROM events e
    WHERE e.merchant_id = k.merchant_id AND (e.xid, e.seq) > (k.xid, k.seq) AND ${SETTLED}
    ORDER BY e.xid, e.seq LIMIT 1) AS news`;

/** $1 partition, $2 $3 after, $4 $5 up to, $6 limit, $7 consumer. In the scope `relay`. */
const OF_PARTITION = {
  name: 'log-of-partition',
  text: `SELECT ${LOGGED_COLUMNS} FROM events e WHERE partition = $1 AND (xid, seq) > ($2::xid8, $3::bigint)
    AND (xid, seq) <= ($4::xid8, $5::bigint)
    AND merchant_id NOT IN (SELECT merchant_id FROM merchant_positions WHERE consumer = $7 AND partition = $1)
  ORDER BY xid, seq LIMIT $6`,
};
/** $1 merchant, then as above. In the merchant's scope. */
const OF_MERCHANT = {
  name: 'log-of-merchant',
  text: `SELECT ${LOGGED_COLUMNS} FROM events e WHERE merchant_id = $1 AND (xid, seq) > ($2::xid8, $3::bigint)
    AND (xid, seq) <= ($4::xid8, $5::bigint) ORDER BY xid, seq LIMIT $6`,
};

const AT = {
  name: 'log-at',
  text: `SELECT ${LOGGED_COLUMNS} FROM events e WHERE merchant_id = $1 AND xid = $2::xid8 AND seq = $3`,
};

export interface LoggedRow extends pg.QueryResultRow {
  merchant_id: bigint;
  xid: bigint;
  seq: bigint;
  type: string;
  version: number;
  occurred_at: number;
  trace_context: string | null;
  data: string;
}

/** A merchant's events behind a position, oldest first. What is answered never changes, and nothing comes before it later. */
export async function readLog(
  database: Database,
  merchantId: bigint,
  page: { after: Position; limit: number },
  deadline: Deadline,
): Promise<LoggedEvent[]> {
  const rows = await database.read<LoggedRow>({ merchantIds: [merchantId] }, deadline, {
    text: READ_LOG,
    values: [merchantId, page.after.xid, page.after.seq, page.limit],
  });
  return rows.map(loggedEvent);
}

/** Whether the log no longer holds everything behind the position: whoever goes on from there would miss some. */
export async function isForgotten(
  database: Database,
  merchantId: bigint,
  after: Position,
  deadline: Deadline,
): Promise<boolean> {
  const query = { text: FORGOTTEN, values: [merchantId, after.xid, after.seq] };
  return (await database.read({ merchantIds: [merchantId] }, deadline, query)).length > 0;
}

/** Those of the merchants that have events behind their position. */
export async function findNews(
  database: Database,
  positions: ReadonlyMap<bigint, Position>,
  deadline: Deadline,
): Promise<bigint[]> {
  const merchantIds = [...positions.keys()];
  const places = [...positions.values()];
  const rows = await database.read<{ merchant_id: bigint }>({ merchantIds }, deadline, {
    text: FIND_NEWS,
    values: [merchantIds, places.map(({ xid }) => xid), places.map(({ seq }) => seq)],
  });
  return rows.map((row) => row.merchant_id);
}

/**
 * Events after one place and up to another, which must lie below the snapshot's xmin, in the log's order: a merchant's, or a
 * partition's but for those of merchants who go apart from it for the consumer.
 */
export async function readRange(
  client: TransactionClient,
  of: { partition: number; consumer: string } | { merchantId: bigint },
  { after, through, limit }: { after: Position; through: Position; limit: number },
): Promise<LoggedEvent[]> {
  const range = [after.xid, after.seq, through.xid, through.seq, limit];
  const query =
    'partition' in of
      ? { ...OF_PARTITION, values: [of.partition, ...range, of.consumer] }
      : { ...OF_MERCHANT, values: [of.merchantId, ...range] };
  return (await client.query<LoggedRow>(query)).rows.map(loggedEvent);
}

/** In the merchant's scope. */
export async function readEventAt(
  client: TransactionClient,
  merchantId: bigint,
  { xid, seq }: Position,
): Promise<LoggedEvent | undefined> {
  const [row] = (await client.query<LoggedRow>({ ...AT, values: [merchantId, xid, seq] })).rows;
  return row && loggedEvent(row);
}

export function loggedEvent(row: LoggedRow): LoggedEvent {
  return {
    merchantId: row.merchant_id,
    xid: row.xid,
    seq: row.seq,
    type: row.type,
    version: row.version,
    occurredAtMs: row.occurred_at,
    traceContext: row.trace_context ?? undefined,
    data: row.data,
  };
}
