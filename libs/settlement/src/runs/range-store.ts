import type { Deadline } from '#platform/deadline.js';
import { postponeDue } from '#platform/due-rows.js';
import type { Database } from '#platform/postgres.js';
import { SETTLEMENT_DUE } from '../close-day.js';
import type { SettleOutcome, SettleResult } from '../settle-result.js';
import type { RunStatus } from './run-store.js';
import { addTotals, type TotalsByCurrency, totalsOf } from './run-totals.js';

/** A range that nobody has completed. */
export interface Range {
  runId: bigint;
  range: number;
  businessDate: string;
  askedBy: 'operator' | 'schedule';
  /** Whether the run was of merchants by name. */
  named: boolean;
  merchantIds: bigint[];
  traceContext: string | null;
}

/** $1 run, $2 range. None, where the range is completed. */
const BEGIN = `
WITH begun AS (UPDATE settlement_runs SET status = 'running', started_at = now() WHERE id = $1 AND started_at IS NULL)
SELECT g.merchant_ids, to_char(r.business_date, 'YYYY-MM-DD') AS business_date, r.asked_by, r.named, r.trace_context
  FROM settlement_ranges g JOIN settlement_runs r ON r.id = g.run_id
 WHERE g.run_id = $1 AND g.range = $2 AND g.status = 'queued'`;

interface RangeRow extends Record<string, unknown> {
  merchant_ids: bigint[];
  business_date: string;
  asked_by: Range['askedBy'];
  named: boolean;
  trace_context: string | null;
}

export async function beginRange(
  database: Database,
  { runId, range }: Pick<Range, 'runId' | 'range'>,
  deadline: Deadline,
): Promise<Range | undefined> {
  const [row] = await database.write<RangeRow>('platform', deadline, { text: BEGIN, values: [runId, range] });
  if (!row) return undefined;
  const { business_date: businessDate, asked_by: askedBy, named, trace_context: traceContext } = row;
  return { runId, range, businessDate, askedBy, named, traceContext, merchantIds: row.merchant_ids };
}

/** Ranges of a run are completed one after another: the last one has to see that it is. */
const LOCK_RUN = 'SELECT totals FROM settlement_runs WHERE id = $1 FOR NO KEY UPDATE';

/** $1 run, $2 range, $3 errors. Whoever comes second changes nothing. */
const COMPLETE = `
UPDATE settlement_ranges SET status = 'completed', errors = $3, completed_at = now()
 WHERE run_id = $1 AND range = $2 AND status = 'queued'`;

/** $1 run, $2 to $5 merchants by what came of them, $6 totals. A run has failed where each of its merchants has. */
const ADD_UP = `
UPDATE settlement_runs r
   SET settled = r.settled + $2::int, empty = r.empty + $3::int, not_due = r.not_due + $4::int, failed = r.failed + $5::int,
       totals = $6::json,
       status = CASE WHEN rest.waits THEN 'running' WHEN r.failed + $5::int = r.merchants THEN 'failed' ELSE 'completed' END,
       finished_at = CASE WHEN NOT rest.waits THEN now() END
  FROM (SELECT EXISTS (SELECT FROM settlement_ranges WHERE run_id = $1 AND status = 'queued') AS waits) rest
 WHERE r.id = $1
RETURNING r.status`;

export type Counts = Readonly<Record<SettleOutcome, number>>;

export function countsOf(results: readonly SettleResult[]): Counts {
  const counts = { settled: 0, empty: 0, not_due: 0, failed: 0 };
  for (const { outcome } of results) counts[outcome] += 1;
  return counts;
}

/**
 * Writes down what came of a range, once, and has merchants wait whose day the schedule found over and that are not settled all the
 * same. Returns the run's status; undefined: somebody else was faster.
 */
export async function completeRange(
  database: Database,
  { runId, range, askedBy, merchantIds, businessDate }: Range,
  outcome: { counts: Counts; errors: string | undefined; unsettled: readonly SettleResult[] },
  deadline: Deadline,
): Promise<RunStatus | undefined> {
  const { counts, errors } = outcome;
  const unsettled = askedBy === 'schedule' ? outcome.unsettled : [];
  return database.transaction({ merchantIds }, deadline, async (client) => {
    const run = await client.query<{ totals: string }>({ text: LOCK_RUN, values: [runId] });
    const { rowCount } = await client.query({ text: COMPLETE, values: [runId, range, errors ?? null] });
    if (rowCount === 0) return undefined;
    const before = JSON.parse(run.rows[0]?.totals ?? '{}') as TotalsByCurrency;
    const totals = addTotals(before, await totalsOf(client, merchantIds, businessDate));
    const values = [runId, counts.settled, counts.empty, counts.not_due, counts.failed, JSON.stringify(totals)];
    const { rows } = await client.query<{ status: RunStatus }>({ text: ADD_UP, values });
    const waiting = unsettled.map(({ merchantId, problem }) => ({
      merchantId,
      subjectId: merchantId,
      error: problem?.detail,
    }));
    if (waiting.length > 0) await client.query(postponeDue(SETTLEMENT_DUE, waiting));
    return rows[0]?.status;
  });
}

/** $1 at most. Ranges that wait, oldest runs first. */
const QUEUED = `
SELECT g.run_id, r.trace_context, array_agg(g.range ORDER BY g.range) AS ranges
  FROM (SELECT run_id, range FROM settlement_ranges WHERE status = 'queued' ORDER BY run_id, range LIMIT $1) g
  JOIN settlement_runs r ON r.id = g.run_id
 GROUP BY g.run_id, r.trace_context ORDER BY g.run_id`;

export interface QueuedRanges {
  runId: bigint;
  traceContext: string | null;
  ranges: number[];
}

export async function queuedRanges(database: Database, limit: number, deadline: Deadline): Promise<QueuedRanges[]> {
  const rows = await database.read<{ run_id: bigint; trace_context: string | null; ranges: number[] }>(
    'platform',
    deadline,
    { text: QUEUED, values: [limit] },
  );
  return rows.map(({ run_id: runId, trace_context: traceContext, ranges }) => ({ runId, traceContext, ranges }));
}
