import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';

/** What a report has told, row by row, and what it has not: with what became of each. */

/** Numbers are text. `outcome`: `matched`, `unmatched` (its break is of another row), or the kind of its break. */
export const EXPORT_COLUMNS = [
  'line',
  'outcome',
  'rule',
  'type',
  'reference',
  'object_ref',
  'gross',
  'fee',
  'net',
  'currency',
  'occurred_at',
  'batch',
  'break_id',
  'break_status',
  'expected_amount',
  'difference',
  'assignee',
  'resolved_by',
  'approved_by',
  'transaction_id',
  'reason',
] as const;

export type ExportedRow = Readonly<Record<(typeof EXPORT_COLUMNS)[number], string | null>>;

/** Rows that are read at once: memory does not grow with the report. */
const PAGE_ROWS = 1_000;
/** Of one page. */
const PAGE_TIMEOUT_MS = 10_000;

const OF_BREAK = `b.id::text AS break_id, b.status AS break_status, b.expected ->> 'amount' AS expected_amount, b.difference::text AS difference,
  b.assignee, b.resolution ->> 'by' AS resolved_by, b.resolution ->> 'approved_by' AS approved_by, b.resolution ->> 'transaction_id' AS transaction_id,
  coalesce(b.resolution ->> 'reason', b.detail) AS reason`;
const utc = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** $1 merchant, $2 report, $3 the last line before. A row has at most one break that holds it. */
const ROWS = {
  name: 'export-report-rows',
  text: `
SELECT r.line::text AS line, CASE WHEN r.rule IS NOT NULL THEN 'matched' ELSE coalesce(b.kind, 'unmatched') END AS outcome, r.rule, r.type, r.reference,
       r.object_ref, r.gross::text AS gross, r.fee::text AS fee, r.net::text AS net, r.currency, ${utc('r.occurred_at')} AS occurred_at, r.batch, ${OF_BREAK}
  FROM report_rows r
  LEFT JOIN LATERAL (SELECT * FROM breaks b
                      WHERE b.merchant_id = $1 AND b.row_source = r.source AND b.row_identity = r.identity ORDER BY b.id DESC LIMIT 1) b ON true
 WHERE r.merchant_id = $1 AND r.reconciliation_id = $2 AND r.line > $3 ORDER BY r.line LIMIT ${PAGE_ROWS}`,
};

/** $3 the last break before. What no row of report_rows stands for. */
const BREAKS = {
  name: 'export-report-breaks',
  text: `
SELECT b.actual ->> 'line' AS line, b.kind AS outcome, NULL AS rule, NULL AS type, b.reference, b.object_ref, b.actual ->> 'amount' AS gross,
       b.actual ->> 'fee' AS fee, NULL AS net, b.currency, coalesce(b.actual, b.expected) ->> 'occurred_at' AS occurred_at, NULL AS batch, ${OF_BREAK}
  FROM breaks b
 WHERE b.merchant_id = $1 AND b.reconciliation_id = $2 AND b.row_identity IS NULL AND b.id > $3 ORDER BY b.id LIMIT ${PAGE_ROWS}`,
};

/** Page by page, each as it then is, in a transaction of its own: whoever takes them slowly holds nothing back. */
export async function* exportReport(
  database: Database,
  merchantId: bigint,
  reportId: bigint,
): AsyncGenerator<readonly ExportedRow[]> {
  for (const [query, place] of [
    [ROWS, 'line'],
    [BREAKS, 'break_id'],
  ] as const) {
    for (let after = '-1'; ; ) {
      const values = [merchantId, reportId, after];
      const scope = { merchantIds: [merchantId] };
      const rows = await database.read<ExportedRow>(scope, Deadline.after(PAGE_TIMEOUT_MS), { ...query, values });
      const last = rows.at(-1)?.[place];
      if (last === undefined || last === null) break;
      yield rows;
      after = last;
    }
  }
}
