import type pg from 'pg';
import type { TransactionClient } from '#platform/postgres.js';
import type { LoggedEvent } from './consumer.js';
import type { Position } from './position.js';

export const EVENT_COLUMNS = 'merchant_id, xid, seq, type, version, occurred_at, trace_context, data';

/** $1 partition, $2 $3 after, $4 $5 up to, $6 limit. In the scope `relay`. */
const OF_PARTITION = {
  name: 'log-of-partition',
  text: `SELECT ${EVENT_COLUMNS} FROM events WHERE partition = $1 AND (xid, seq) > ($2::xid8, $3::bigint)
    AND (xid, seq) <= ($4::xid8, $5::bigint) ORDER BY xid, seq LIMIT $6`,
};
/** $1 merchant, then as above. In the merchant's scope. */
const OF_MERCHANT = {
  name: 'log-of-merchant',
  text: `SELECT ${EVENT_COLUMNS} FROM events WHERE merchant_id = $1 AND (xid, seq) > ($2::xid8, $3::bigint)
    AND (xid, seq) <= ($4::xid8, $5::bigint) ORDER BY xid, seq LIMIT $6`,
};

export interface EventRow extends pg.QueryResultRow {
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
  const { rows } = await client.query<EventRow>({ ...query, values });
  return rows.map(loggedEvent);
}

export function loggedEvent(row: EventRow): LoggedEvent {
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
