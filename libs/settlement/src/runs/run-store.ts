import type { Deadline } from '#platform/deadline.js';
import type { Database, Query, TransactionClient } from '#platform/postgres.js';
import type { TotalsByCurrency } from './run-totals.js';

export type RunStatus = 'queued' | 'running' | 'completed' | 'failed';

/** A business day of some or all merchants that is to be settled. */
export interface NewRun {
  id: bigint;
  businessDate: string;
  askedBy: 'operator' | 'schedule';
  /** Undefined: all there are. */
  merchantIds: readonly bigint[] | undefined;
  rangeMerchants: number;
  /** W3C traceparent of the run's own trace. */
  traceContext: string | undefined;
}

/** A run as it stands. */
export interface Run {
  id: bigint;
  businessDate: string;
  askedBy: 'operator' | 'schedule';
  status: RunStatus;
  createdAtMs: number;
  startedAtMs: number | null;
  finishedAtMs: number | null;
  merchants: { total: number; settled: number; empty: number; notDue: number; failed: number };
  traceContext: string | null;
  /** Of settlements of the day, by currency. */
  totals: TotalsByCurrency;
  /** JSON: an array of {merchant_id, problem}, the first ERRORS_SHOWN. */
  errors: string;
  /** Now, by PostgreSQL's clock. */
  asOfMs: number;
}

/** Of more, a run tells how many. */
const ERRORS_SHOWN = 100;

/** All merchants, not those of the scope alone; what is written is bound to the scope as before. */
const SEE_ALL_MERCHANTS: Query = { text: `SELECT set_config('counterfoil.platform', 'on', true)` };

/** $1 merchants. Places of those that are not there. */
const UNKNOWN = `
SELECT place::int - 1 AS place FROM unnest($1::bigint[]) WITH ORDINALITY AS k (id, place)
 WHERE NOT EXISTS (SELECT FROM merchants m WHERE m.id = k.id) ORDER BY place`;

/** $1 id, $2 day, $3 who asked, $4 trace, $5 merchants, null: all, $6 merchants of a range. */
const INSERT = `
WITH run AS (
  INSERT INTO settlement_runs (id, business_date, asked_by, named, status, created_at, trace_context)
  VALUES ($1::bigint, $2::date, $3, $5::bigint[] IS NOT NULL, 'queued', snowflake_time($1::bigint), $4)),
ranges AS (
  INSERT INTO settlement_ranges (run_id, range, merchant_ids, status)
  SELECT $1::bigint, (place - 1) / $6::int, array_agg(id ORDER BY id), 'queued'
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS place
            FROM (SELECT id FROM merchants WHERE $5::bigint[] IS NULL UNION ALL SELECT unnest($5::bigint[])) chosen (id)) m
   GROUP BY 2
  RETURNING range, cardinality(merchant_ids) AS merchants)
SELECT count(*)::int AS ranges, coalesce(sum(merchants), 0)::int AS merchants FROM ranges`;

/** $1 id, $2 merchants. A run of nobody is over at once. */
const SUM_UP = `
UPDATE settlement_runs
   SET merchants = $2::int, status = CASE $2::int WHEN 0 THEN 'completed' ELSE 'queued' END,
       started_at = CASE $2::int WHEN 0 THEN now() END, finished_at = CASE $2::int WHEN 0 THEN now() END
 WHERE id = $1`;

/** In the caller's transaction. Places of merchants that are not there. */
export async function unknownMerchants(client: TransactionClient, merchantIds: readonly bigint[]): Promise<number[]> {
  await client.query(SEE_ALL_MERCHANTS);
  const { rows } = await client.query<{ place: number }>({ text: UNKNOWN, values: [merchantIds] });
  return rows.map(({ place }) => place);
}

/** In the caller's transaction. Returns how many ranges the run has. */
export async function insertRun(client: TransactionClient, run: NewRun): Promise<number> {
  const { id, businessDate, askedBy, traceContext, merchantIds, rangeMerchants } = run;
  await client.query(SEE_ALL_MERCHANTS);
  const values = [id, businessDate, askedBy, traceContext ?? null, merchantIds ?? null, rangeMerchants];
  const { rows } = await client.query<{ ranges: number; merchants: number }>({ text: INSERT, values });
  const { ranges = 0, merchants = 0 } = rows[0] ?? {};
  await client.query({ text: SUM_UP, values: [id, merchants] });
  return ranges;
}

const RUN = `
  id, to_char(business_date, 'YYYY-MM-DD') AS business_date, asked_by, status, created_at, started_at, finished_at, merchants, settled,
  empty, not_due, failed, totals, trace_context, now() AS as_of,
  (SELECT coalesce(json_agg(one), '[]')
     FROM (SELECT one FROM settlement_ranges g CROSS JOIN json_array_elements(g.errors) AS one
            WHERE g.run_id = r.id AND g.errors IS NOT NULL ORDER BY g.range LIMIT ${ERRORS_SHOWN}) shown) AS errors`;
const GET = { name: 'get-settlement-run', text: `SELECT ${RUN} FROM settlement_runs r WHERE id = $1` };
/** $1 below this id, $2 limit. */
const LIST = {
  name: 'list-settlement-runs',
  text: `SELECT ${RUN} FROM settlement_runs r WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2`,
};

interface RunRow extends Record<string, unknown> {
  id: bigint;
  business_date: string;
  asked_by: Run['askedBy'];
  status: RunStatus;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  merchants: number;
  settled: number;
  empty: number;
  not_due: number;
  failed: number;
  totals: string;
  trace_context: string | null;
  errors: string;
  as_of: number;
}

/** In the caller's transaction. */
export async function findRun(client: TransactionClient, id: bigint): Promise<Run | undefined> {
  const { rows } = await client.query<RunRow>({ ...GET, values: [id] });
  return rows[0] && runOf(rows[0]);
}

/** Newest first. */
export async function listRuns(
  database: Database,
  page: { before: bigint | undefined; limit: number },
  deadline: Deadline,
): Promise<Run[]> {
  const values = [page.before ?? null, page.limit];
  return (await database.read<RunRow>('platform', deadline, { ...LIST, values })).map(runOf);
}

function runOf(row: RunRow): Run {
  return {
    id: row.id,
    businessDate: row.business_date,
    askedBy: row.asked_by,
    status: row.status,
    createdAtMs: row.created_at,
    startedAtMs: row.started_at,
    finishedAtMs: row.finished_at,
    merchants: {
      total: row.merchants,
      settled: row.settled,
      empty: row.empty,
      notDue: row.not_due,
      failed: row.failed,
    },
    traceContext: row.trace_context,
    totals: JSON.parse(row.totals) as TotalsByCurrency,
    errors: row.errors,
    asOfMs: row.as_of,
  };
}
