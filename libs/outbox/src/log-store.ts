import type pg from 'pg';
import type { TransactionClient } from '#platform/postgres.js';
import type { LoggedEvent } from './consumer.js';
import type { Position } from './position.js';

/** Of `events e`. */
export const LOGGED_COLUMNS = 'e.merchant_id, e.xid, e.seq, e.type, e.version, e.occurred_at, e.trace_context, e.data';

/**
 * The place of the oldest transaction that is still open: it may yet commit events there, and a reader who had gone past would never
 * see them. Below it nothing can appear any more; nor from an earlier epoch, whose server is gone. Asked once a statement, and as a
 * value: a function within the condition might leak rows past row-level security, and the index would not be used.
 */
export const LOG_HORIZON = '(SELECT log_horizon())';

/** $1 partition, $2 $3 after, $4 $5 up to, $6 limit. In the scope `relay`. */
const OF_PARTITION = {
  name: 'log-of-partition',
  text: `SELECT ${LOGGED_COLUMNS} FROM events e WHERE partition = $1 AND (xid, seq) > ($2::xid8, $3::bigint)
    AND (xid, seq) <= ($4::xid8, $5::bigint) ORDER BY xid, seq LIMIT $6`,
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

/** Events after one place and up to another, which must lie below the snapshot's xmin, in the log's order. */
export async function readLog(
  client: TransactionClient,
  of: { partition: number } | { merchantId: bigint },
  { after, upTo, limit }: { after: Position; upTo: Position; limit: number },
): Promise<LoggedEvent[]> {
  const [query, key] = 'partition' in of ? [OF_PARTITION, of.partition] : [OF_MERCHANT, of.merchantId];
  const values = [key, after.xid, after.seq, upTo.xid, upTo.seq, limit];
  const { rows } = await client.query<LoggedRow>({ ...query, values });
  return rows.map(loggedEvent);
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
