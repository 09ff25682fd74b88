import { int8Array, textArray, timestamptzArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { BadRow, ReportRow } from '../report-row.js';
import type { ReportKey } from '../reports/report.js';
import { DELETED_AT_ONCE, type DeletedSome, deleteSome } from '../reports/report-pieces.js';

/**
 * Rows and bad rows of a report that is still being received, counted with it: one that has been given up takes nothing more. PostgreSQL
 * refuses COPY where row-level security applies, and merchants' rows are not to be without it: arrays in the binary format come next
 * (ADR 29). $1 merchant, $2 report, $3–$13 rows, $14 how many bad rows, $15–$17 those to keep.
 */
const STAGE = {
  name: 'stage-report-rows',
  text: `
WITH report AS (
  UPDATE reconciliations SET rows = rows + cardinality($3::bigint[]), rows_bad = rows_bad + $14::int, heard_at = now()
   WHERE merchant_id = $1 AND id = $2 AND status = 'receiving' RETURNING merchant_id, id),
staged AS (
  INSERT INTO report_staging (merchant_id, reconciliation_id, line, identity, type, reference, object_ref, gross, fee, net, currency,
                              occurred_at, batch)
  SELECT report.merchant_id, report.id, line, identity::uuid, type, reference, object_ref, gross, fee, net, currency, occurred_at, batch
    FROM report, unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[],
                        $12::timestamptz[], $13::text[])
      AS u (line, identity, type, reference, object_ref, gross, fee, net, currency, occurred_at, batch)),
bad AS (
  INSERT INTO report_bad_rows (merchant_id, reconciliation_id, line, problem, excerpt)
  SELECT report.merchant_id, report.id, line, problem, excerpt
    FROM report, unnest($15::bigint[], $16::text[], $17::text[]) AS u (line, problem, excerpt))
SELECT id FROM report`,
};

export interface StagedBatch {
  readonly rows: readonly ReportRow[];
  /** Those to keep, and how many there were. */
  readonly bad: readonly BadRow[];
  readonly badCount: number;
}

/** Returns whether the report was still being received. */
export async function stageRows(
  database: Database,
  { merchantId, id }: ReportKey,
  { rows, bad, badCount }: StagedBatch,
  deadline: Deadline,
): Promise<boolean> {
  const values = [
    merchantId,
    id,
    int8Array(rows.map(({ line }) => BigInt(line))),
    textArray(rows.map(({ identity }) => identity)),
    textArray(rows.map(({ type }) => type)),
    textArray(rows.map(({ reference }) => reference)),
    textArray(rows.map(({ objectRef }) => objectRef)),
    int8Array(rows.map(({ gross }) => gross)),
    int8Array(rows.map(({ fee }) => fee)),
    int8Array(rows.map(({ net }) => net)),
    textArray(rows.map(({ currency }) => currency)),
    timestamptzArray(rows.map(({ occurredAtMs }) => occurredAtMs)),
    textArray(rows.map(({ batch }) => batch)),
    badCount,
    int8Array(bad.map(({ line }) => BigInt(line))),
    textArray(bad.map(({ problem }) => problem)),
    textArray(bad.map(({ excerpt }) => excerpt)),
  ];
  const written = await database.write({ merchantIds: [merchantId] }, deadline, { ...STAGE, values });
  return written.length > 0;
}

const HEARD = {
  name: 'hear-of-report',
  text: `UPDATE reconciliations SET heard_at = now() WHERE merchant_id = $1 AND id = $2 AND status = 'receiving'`,
};

/** That its receiver is alive, whatever its client does. */
export async function hearOf(database: Database, { merchantId, id }: ReportKey, deadline: Deadline): Promise<void> {
  await database.write({ merchantIds: [merchantId] }, deadline, { ...HEARD, values: [merchantId, id] });
}

const TABLES = ['report_staging', 'report_bad_rows'] as const;

const LOCK = {
  text: `SELECT id FROM reconciliations WHERE merchant_id = $1 AND id = $2 AND status = 'receiving' FOR UPDATE`,
};
const FAIL = {
  text: `UPDATE reconciliations SET status = 'failed', failure = $3, rows = 0, rows_bad = 0 WHERE merchant_id = $1 AND id = $2`,
};

/** Leaves of a report that is still being received nothing but why it failed. What dies in the middle is done again. */
export async function failReport(
  database: Database,
  { merchantId, id }: ReportKey,
  failure: string,
  deadlineOf: () => Deadline,
): Promise<void> {
  const scope = { merchantIds: [merchantId] };
  for (const table of TABLES) {
    const query = deleteSome(table, { merchantId, id });
    while ((await database.write<DeletedSome>(scope, deadlineOf(), query))[0]?.count === DELETED_AT_ONCE);
  }
  // Behind the report's row, which whoever stages changes: nothing comes after this.
  await database.transaction(scope, deadlineOf(), async (client) => {
    const { rows } = await client.query({ ...LOCK, values: [merchantId, id] });
    if (rows.length === 0) return;
    for (const table of TABLES) await client.query(deleteSome(table, { merchantId, id }, null));
    await client.query({ ...FAIL, values: [merchantId, id, failure] });
  });
}

export interface NewReport extends ReportKey {
  readonly source: string;
  readonly askedBy: string;
  readonly periodFromMs: number | undefined;
  readonly periodToMs: number | undefined;
  readonly slaDays: number;
  readonly traceContext: string | undefined;
}

/** Times in milliseconds; $5 and $6 may be null. */
const INSERT = {
  name: 'insert-reconciliation',
  text: `
INSERT INTO reconciliations (merchant_id, id, created_at, source, asked_by, period_from, period_to, sla_days, status, trace_context)
VALUES ($1, $2, snowflake_time($2), $3, $4, to_timestamp($5::float8 / 1000), to_timestamp($6::float8 / 1000), $7, 'receiving', $8)`,
};

export async function insertReport(database: Database, report: NewReport, deadline: Deadline): Promise<void> {
  const { merchantId, id, source, askedBy, periodFromMs, periodToMs, slaDays, traceContext } = report;
  const values = [
    merchantId,
    id,
    source,
    askedBy,
    periodFromMs ?? null,
    periodToMs ?? null,
    slaDays,
    traceContext ?? null,
  ];
  await database.write({ merchantIds: [merchantId] }, deadline, { ...INSERT, values });
}

export interface Received {
  readonly periodFromMs: number | undefined;
  readonly periodToMs: number | undefined;
  /** JSON. */
  readonly statements: string | undefined;
}

const RECEIVED = {
  name: 'receive-reconciliation',
  text: `
UPDATE reconciliations SET status = 'matching', period_from = to_timestamp($3::float8 / 1000), period_to = to_timestamp($4::float8 / 1000),
                           statements = $5, heard_at = now()
 WHERE merchant_id = $1 AND id = $2 AND status = 'receiving' RETURNING id`,
};

/** In the caller's transaction. Returns whether it was still being received. */
export async function markReceived(
  client: TransactionClient,
  { merchantId, id }: ReportKey,
  { periodFromMs, periodToMs, statements }: Received,
): Promise<boolean> {
  const values = [merchantId, id, periodFromMs ?? null, periodToMs ?? null, statements ?? null];
  return (await client.query({ ...RECEIVED, values })).rows.length > 0;
}
