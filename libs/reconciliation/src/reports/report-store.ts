import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { Report, ReportStatus, ReportTotals } from './report.js';

const REPORT = `
  r.id, r.source, r.status, r.failure, r.asked_by, r.created_at, r.completed_at, r.period_from, r.period_to, r.sla_days, r.rows,
  r.rows_bad, r.repeated, r.matched, r.expected, r.totals, r.trace_context,
  (SELECT coalesce(json_object_agg(kind, count), '{}')
     FROM (SELECT b.kind, count(*)::int AS count FROM breaks b
            WHERE b.merchant_id = r.merchant_id AND b.reconciliation_id = r.id AND b.resolution IS NULL
            GROUP BY b.kind ORDER BY b.kind) o) AS breaks`;

const GET = {
  name: 'get-reconciliation',
  text: `SELECT ${REPORT} FROM reconciliations r WHERE r.merchant_id = $1 AND r.id = $2 AND r.forgotten_at IS NULL`,
};
/** $1 merchant, $2 below this id, $3 source, $4 status, $5 limit. */
const LIST = {
  name: 'list-reconciliations',
  text: `
SELECT ${REPORT} FROM reconciliations r
 WHERE r.merchant_id = $1 AND r.forgotten_at IS NULL AND ($2::bigint IS NULL OR r.id < $2) AND ($3::text IS NULL OR r.source = $3)
   AND ($4::text IS NULL OR r.status = $4)
 ORDER BY r.id DESC LIMIT $5`,
};

interface ReportRow extends Record<string, unknown> {
  id: bigint;
  source: string;
  status: ReportStatus;
  failure: string | null;
  asked_by: string | null;
  created_at: number;
  completed_at: number | null;
  period_from: number | null;
  period_to: number | null;
  sla_days: number;
  rows: bigint;
  rows_bad: bigint;
  repeated: bigint;
  matched: bigint;
  expected: bigint;
  /** JSON. */
  totals: string | null;
  trace_context: string | null;
  /** JSON. */
  breaks: string;
}

export interface ReportPage {
  readonly source: string | undefined;
  readonly status: ReportStatus | undefined;
  readonly beforeId: bigint | undefined;
  readonly limit: number;
}

/** In the caller's transaction. */
export async function findReport(
  client: TransactionClient,
  merchantId: bigint,
  id: bigint,
): Promise<Report | undefined> {
  const { rows } = await client.query<ReportRow>({ ...GET, values: [merchantId, id] });
  return rows[0] && reportOf(rows[0]);
}

/** Newest first. */
export async function listReports(
  database: Database,
  merchantId: bigint,
  { beforeId, source, status, limit }: ReportPage,
  deadline: Deadline,
): Promise<Report[]> {
  const values = [merchantId, beforeId ?? null, source ?? null, status ?? null, limit];
  return (await database.read<ReportRow>({ merchantIds: [merchantId] }, deadline, { ...LIST, values })).map(reportOf);
}

function reportOf(row: ReportRow): Report {
  return {
    id: row.id,
    source: row.source,
    status: row.status,
    failure: row.failure,
    askedBy: row.asked_by,
    createdAtMs: row.created_at,
    completedAtMs: row.completed_at,
    periodFromMs: row.period_from ?? undefined,
    periodToMs: row.period_to ?? undefined,
    slaDays: row.sla_days,
    rows: row.rows,
    rowsBad: row.rows_bad,
    repeated: row.repeated,
    matched: row.matched,
    expected: row.expected,
    totals: JSON.parse(row.totals ?? '[]') as ReportTotals[],
    breaks: JSON.parse(row.breaks) as Record<string, number>,
    traceContext: row.trace_context ?? undefined,
  };
}
