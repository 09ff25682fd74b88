import type { Query } from '#platform/postgres.js';
import type { ReportKey } from './report.js';

/** Tables with what a report has brought. */
export type ReportTable = 'report_staging' | 'report_bad_rows' | 'report_rows';

/** Rows of one transaction: with an xid it holds back the log's horizon. */
export const DELETED_AT_ONCE = 50_000;

/** Takes some of a report away, or, without a limit, all; tells how much (`DeletedSome`). */
export function deleteSome(
  table: ReportTable,
  { merchantId, id }: ReportKey,
  limit: number | null = DELETED_AT_ONCE,
): Query {
  const text = `
WITH gone AS (
  DELETE FROM ${table} WHERE ctid = ANY (ARRAY (
    SELECT ctid FROM ${table} WHERE merchant_id = $1 AND reconciliation_id = $2 LIMIT $3))
  RETURNING 1)
SELECT count(*)::int AS count FROM gone`;
  return { text, values: [merchantId, id, limit] };
}

export interface DeletedSome extends Record<string, unknown> {
  count: number;
}
