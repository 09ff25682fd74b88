import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { LoggedEvent } from './consumer.js';
import { LOG_HORIZON, LOGGED_COLUMNS, type LoggedRow, loggedEvent } from './log-store.js';
import type { Position } from './position.js';

/** `<xid>-<seq>`: the id of the event that the position lies behind. */
export function positionText({ xid, seq }: Position): string {
  return `${xid}-${seq}`;
}

/** Of what `positionText` made. */
export function parsePosition(text: string): Position {
  const [xid = '', seq = ''] = text.split('-');
  return { xid: BigInt(xid), seq: BigInt(seq) };
}

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
