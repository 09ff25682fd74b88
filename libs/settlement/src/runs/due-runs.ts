import { systemClock } from '#kernel/clock.js';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import { tracedClient } from '#platform/query-spans.js';
import { inSpan, traceparentOf } from '#platform/tracing.js';
import { SETTLEMENT_DUE } from '../close-day.js';
import { lastDaysOver } from '../due-days.js';
import { insertRun } from './run-store.js';
import { runSpan } from './start-run.command.js';

/** Merchants looked at together. */
const PAGE = 20_000;

/** One scheduler at a time makes runs, whichever worker it is in. */
const LOCK: [number, string] = [1_768_190_711, 'settlement runs by schedule'];
const TAKE_LOCK = { text: 'SELECT pg_advisory_xact_lock($1::int, hashtext($2))', values: LOCK };

/** Whose day is over and who is in no range that waits. */
const IS_DUE = `d.kind = $1 AND d.try_at <= now() AND NOT EXISTS (
  SELECT FROM (SELECT unnest(merchant_ids) AS id FROM settlement_ranges WHERE status = 'queued') q WHERE q.id = d.merchant_id)`;

/** $1 kind, $2 at most. */
const DUE = `SELECT d.merchant_id FROM due_rows d WHERE ${IS_DUE} ORDER BY d.try_at LIMIT $2`;

/** $1 kind, $2 merchants. */
const STILL_DUE = `SELECT d.merchant_id FROM due_rows d WHERE d.merchant_id = ANY ($2::bigint[]) AND ${IS_DUE}`;

export interface DueRunParts {
  readonly database: Database;
  readonly ids: SnowflakeGenerator;
  /** Merchants of one range. */
  readonly rangeMerchants: number;
}

/**
 * Makes runs of all whose cut-off has passed, one for each day that is over where they are. PostgreSQL knows who is due, and that
 * nobody is in two runs of the schedule at once: any number of schedulers may look.
 */
export async function makeDueRuns(parts: DueRunParts, deadline: Deadline): Promise<number> {
  for (let runs = 0; ; ) {
    const due = await readDue(parts.database, deadline);
    if (due.length === 0) return runs;
    const days = await lastDaysOver(parts.database, due, systemClock.now(), deadline);
    const made = await parts.database.transaction('platform', deadline, async (client) => {
      await client.query(TAKE_LOCK);
      return makeRuns(client, parts, await stillDue(client, days));
    });
    runs += made;
    if (due.length < PAGE || made === 0) return runs;
  }
}

async function readDue(database: Database, deadline: Deadline): Promise<bigint[]> {
  const query = { text: DUE, values: [SETTLEMENT_DUE, PAGE] };
  const rows = await database.read<{ merchant_id: bigint }>('platform', deadline, query);
  return rows.map(({ merchant_id }) => merchant_id);
}

/** By day. */
async function stillDue(client: TransactionClient, days: ReadonlyMap<bigint, string>): Promise<Map<string, bigint[]>> {
  const values = [SETTLEMENT_DUE, int8Array([...days.keys()])];
  const { rows } = await client.query<{ merchant_id: bigint }>({ text: STILL_DUE, values });
  return Map.groupBy(
    rows.map(({ merchant_id }) => merchant_id),
    (merchantId) => days.get(merchantId) as string,
  );
}

async function makeRuns(
  client: TransactionClient,
  { ids, rangeMerchants }: DueRunParts,
  due: ReadonlyMap<string, readonly bigint[]>,
): Promise<number> {
  for (const [businessDate, merchantIds] of due) {
    const id = ids.next();
    const span = runSpan(id, businessDate);
    const traceContext = traceparentOf(span);
    const run = { id, businessDate, askedBy: 'schedule', merchantIds, rangeMerchants, traceContext } as const;
    await inSpan(span, () => insertRun(tracedClient(client, span), run));
  }
  return due.size;
}
