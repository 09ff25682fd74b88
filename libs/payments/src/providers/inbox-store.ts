import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { enqueueDue, removeDue } from '#platform/due-rows.js';
import type { Database } from '#platform/postgres.js';
import { isSampled } from '#platform/tracing.js';

/** The due rows of what is received and not applied; the subject is the inbox row. */
export const PROVIDER_INBOX = 'provider inbox';

/** Something signed, as it is kept. */
export interface InboxRow {
  readonly merchantId: bigint;
  readonly id: bigint;
  readonly provider: string;
  readonly body: Buffer;
  /** Of the first time. */
  readonly receivedAtMs: number;
  /** W3C traceparent of the first time. */
  readonly traceContext: string | undefined;
}

/** What became of one thing that a body told. */
export interface InboxResult {
  readonly what: string;
  readonly payment_ref?: string;
  readonly event_id?: string;
  readonly outcome: 'applied' | 'duplicate' | 'stale' | 'parked' | 'rejected' | 'ignored';
  readonly reason?: string;
}

/** $1 merchant, $2 id if it is new, $3 provider, $4 body, $5 trace or null. The row is locked: who was told of it before waits for nobody. */
const RECEIVE = {
  name: 'inbox-receive',
  text: `
INSERT INTO provider_inbox AS i (merchant_id, id, provider, body, received_at, trace_context) VALUES ($1, $2, $3, $4, snowflake_time($2), $5)
ON CONFLICT (merchant_id, provider, body_sha256) DO UPDATE
  SET times_received = i.times_received + 1, outcome = 'received', results = NULL
RETURNING id, received_at`,
};

/**
 * Keeps what was received, and a timer for it, in one transaction: from then on it is not lost. A body that is known already is the
 * same row, and is applied once more.
 */
export async function receive(
  database: Database,
  row: Omit<InboxRow, 'receivedAtMs'>,
  dueAtMs: number,
  deadline: Deadline,
): Promise<InboxRow> {
  const { merchantId, id, provider, body } = row;
  const traceContext = isSampled(row.traceContext) ? row.traceContext : null;
  return database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
    const query = { ...RECEIVE, values: [merchantId, id, provider, body, traceContext] };
    const [kept] = (await client.query<{ id: bigint; received_at: number }>(query)).rows;
    if (!kept) throw new Error('an inbox row was neither inserted nor found');
    await client.query(enqueueDue(PROVIDER_INBOX, [{ merchantId, subjectId: kept.id, dueAtMs }]));
    return { ...row, id: kept.id, receivedAtMs: kept.received_at };
  });
}

const FIND = {
  name: 'inbox-find',
  text: `SELECT provider, body, received_at, trace_context FROM provider_inbox WHERE merchant_id = $1 AND id = $2 AND outcome = 'received'`,
};

interface FoundRow extends Record<string, unknown> {
  provider: string;
  body: Buffer;
  received_at: number;
  trace_context: string | null;
}

/** What waits under this id; undefined: it does not. */
export async function findReceived(
  database: Database,
  { merchantId, id }: Pick<InboxRow, 'merchantId' | 'id'>,
  deadline: Deadline,
): Promise<InboxRow | undefined> {
  const query = { ...FIND, values: [merchantId, id] };
  const [row] = await database.read<FoundRow>({ merchantIds: [merchantId] }, deadline, query);
  if (!row) return undefined;
  const { provider, body, received_at: receivedAtMs, trace_context } = row;
  return { merchantId, id, provider, body, receivedAtMs, traceContext: trace_context ?? undefined };
}

const SETTLE = {
  name: 'inbox-settle',
  text: `UPDATE provider_inbox SET outcome = $3, results = $4 WHERE merchant_id = $1 AND id = $2`,
};

/** Says what became of it, and takes its timer away. */
export async function settle(
  database: Database,
  { merchantId, id }: Pick<InboxRow, 'merchantId' | 'id'>,
  settled: { outcome: 'done' | 'undeliverable'; results: readonly InboxResult[] },
  deadline: Deadline,
): Promise<void> {
  await database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
    const results = JSON.stringify(settled.results);
    await client.query({ ...SETTLE, values: [merchantId, id, settled.outcome, results] });
    await client.query(removeDue(PROVIDER_INBOX, [{ merchantId, subjectId: id }]));
  });
}

/** $1 merchants, $2 first id that stays, $3 rows at most. What still waits stays, however old it is. */
const PURGE = `
DELETE FROM provider_inbox WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM provider_inbox WHERE merchant_id = ANY ($1::bigint[]) AND id < $2 AND outcome <> 'received' LIMIT $3))`;

/** Deletes settled rows before `id`, at most `batch`. Returns how many. */
export async function purgeBatch(
  database: Database,
  merchantIds: readonly bigint[],
  { before, batch }: { before: bigint; batch: number },
  deadline: Deadline,
): Promise<number> {
  const { rowCount } = await database.transaction({ merchantIds }, deadline, (client) =>
    client.query({ text: PURGE, values: [int8Array(merchantIds), before, batch] }),
  );
  return rowCount ?? 0;
}
