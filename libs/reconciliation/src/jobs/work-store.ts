import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import { SOURCES, type Source } from '../reading/sources.js';
import type { ReportInWork, ReportKey } from '../reports/report.js';

/** Quoted by all who look for them: the condition of their index. */
const UNFINISHED = `status IN ('receiving', 'matching')`;

/** $1 how long they have not been heard of, in milliseconds, $2 at most. */
const SILENT = {
  text: `
SELECT merchant_id AS "merchantId", id FROM reconciliations
 WHERE ${UNFINISHED} AND status = 'receiving' AND heard_at <= now() - $1::float8 * interval '1 ms'
 ORDER BY merchant_id, id LIMIT $2`,
};

/** Reports that are being received by nobody any more, of all merchants. */
export function silentReports(
  database: Database,
  { silenceMs, limit }: { silenceMs: number; limit: number },
  deadline: Deadline,
): Promise<ReportKey[]> {
  const query = { ...SILENT, values: [silenceMs, limit] };
  return database.read<ReportKey & Record<string, unknown>>('platform', deadline, query);
}

/** $1 merchant, $2 at most. */
const WITH_REPORTS = {
  text: `
SELECT DISTINCT merchant_id FROM reconciliations WHERE ${UNFINISHED} AND status = 'matching' AND merchant_id > $1
 ORDER BY merchant_id LIMIT $2`,
};

/** Merchants that have something to be matched, by id, behind one. */
export async function merchantsWithReports(
  database: Database,
  { after, limit }: { after: bigint; limit: number },
  deadline: Deadline,
): Promise<bigint[]> {
  const query = { ...WITH_REPORTS, values: [after, limit] };
  const rows = await database.read<{ merchant_id: bigint }>('platform', deadline, query);
  return rows.map(({ merchant_id }) => merchant_id);
}

/** $1 merchant. One that fails keeps no other waiting. */
const NEXT = {
  name: 'next-reconciliation',
  text: `
SELECT id, trace_context FROM reconciliations
 WHERE merchant_id = $1 AND ${UNFINISHED} AND status = 'matching' ORDER BY tries, id LIMIT 1`,
};

export interface NextReport extends ReportKey {
  readonly traceContext: string | undefined;
}

/** What is to be matched next of a merchant. */
export async function nextReport(
  database: Database,
  merchantId: bigint,
  deadline: Deadline,
): Promise<NextReport | undefined> {
  const query = { ...NEXT, values: [merchantId] };
  const rows = await database.read<{ id: bigint; trace_context: string | null }>(
    { merchantIds: [merchantId] },
    deadline,
    query,
  );
  const [row] = rows;
  return row && { merchantId, id: row.id, traceContext: row.trace_context ?? undefined };
}

const IN_WORK = {
  name: 'reconciliation-in-work',
  text: `
SELECT source, period_from, period_to, sla_days, trace_context FROM reconciliations
 WHERE merchant_id = $1 AND id = $2 AND status = $3`,
};

interface InWorkRow extends Record<string, unknown> {
  source: string;
  period_from: number | null;
  period_to: number | null;
  sla_days: number;
  trace_context: string | null;
}

/** Undefined: it is not of that status. */
export async function reportInWork(
  database: Database,
  { merchantId, id }: ReportKey,
  status: 'matching' | 'completed',
  deadline: Deadline,
): Promise<ReportInWork | undefined> {
  const query = { ...IN_WORK, values: [merchantId, id, status] };
  const [row] = await database.read<InWorkRow>({ merchantIds: [merchantId] }, deadline, query);
  if (!row) return undefined;
  return {
    merchantId,
    id,
    source: row.source,
    provider: SOURCES[row.source as Source]?.provider,
    periodFromMs: row.period_from ?? undefined,
    periodToMs: row.period_to ?? undefined,
    slaDays: row.sla_days,
    traceContext: row.trace_context ?? undefined,
  };
}

/** $1 merchant, $2 report, $3 tries in all, $4 why. What is staged stays: whoever tries again goes on there. */
const COUNT_FAILURE = {
  name: 'count-reconciliation-failure',
  text: `
UPDATE reconciliations
   SET tries = tries + 1, status = CASE WHEN tries + 1 < $3 THEN status ELSE 'failed' END, failure = CASE WHEN tries + 1 < $3 THEN failure ELSE $4 END
 WHERE merchant_id = $1 AND id = $2 AND status = 'matching' RETURNING status`,
};

/** Returns whether it has failed by that. */
export async function countFailure(
  database: Database,
  { merchantId, id }: ReportKey,
  { tries, why }: { tries: number; why: string },
  deadline: Deadline,
): Promise<boolean> {
  const query = { ...COUNT_FAILURE, values: [merchantId, id, tries, why] };
  const [row] = await database.write<{ status: string }>({ merchantIds: [merchantId] }, deadline, query);
  return row?.status === 'failed';
}

const RETRY = {
  name: 'retry-reconciliation',
  text: `
UPDATE reconciliations SET status = 'matching', failure = NULL, tries = 0, heard_at = now()
 WHERE merchant_id = $1 AND id = $2 AND status = 'failed' AND tries > 0 AND forgotten_at IS NULL`,
};

/** In the caller's transaction. Returns whether it had failed while it was matched. */
export async function retryReport(client: TransactionClient, { merchantId, id }: ReportKey): Promise<boolean> {
  return (await client.query({ ...RETRY, values: [merchantId, id] })).rowCount === 1;
}

export interface Completed {
  readonly source: string;
  readonly rows: bigint;
  readonly rowsBad: bigint;
  readonly repeated: bigint;
  readonly matched: bigint;
  readonly expected: bigint;
  readonly breaksOpen: number;
  readonly completedAtMs: number;
}

const COMPLETE = {
  name: 'complete-reconciliation',
  text: `
UPDATE reconciliations r SET status = 'completed', completed_at = now()
 WHERE merchant_id = $1 AND id = $2 AND status = 'matching'
RETURNING source, rows, rows_bad, repeated, matched, expected, completed_at,
          (SELECT count(*)::int FROM breaks b
            WHERE b.merchant_id = r.merchant_id AND b.reconciliation_id = r.id AND b.resolution IS NULL) AS breaks_open`,
};

interface CompletedRow extends Record<string, unknown> {
  source: string;
  rows: bigint;
  rows_bad: bigint;
  repeated: bigint;
  matched: bigint;
  expected: bigint;
  breaks_open: number;
  completed_at: number;
}

/** In the caller's transaction; undefined: somebody else did. */
export async function completeReport(
  client: TransactionClient,
  { merchantId, id }: ReportKey,
): Promise<Completed | undefined> {
  const { rows } = await client.query<CompletedRow>({ ...COMPLETE, values: [merchantId, id] });
  const [row] = rows;
  if (!row) return undefined;
  const { rows_bad: rowsBad, breaks_open: breaksOpen, completed_at: completedAtMs, ...counts } = row;
  return { ...counts, rowsBad, breaksOpen, completedAtMs };
}
