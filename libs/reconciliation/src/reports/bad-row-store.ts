import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';

export interface ListedBadRow {
  readonly line: bigint;
  readonly problem: string;
  readonly excerpt: string;
}

/** $1 merchant, $2 report, $3 behind this line, $4 limit. No row: there is no such report; a row without a line: it has no more. */
const LIST = {
  name: 'list-bad-rows',
  text: `
SELECT b.line, b.problem, b.excerpt
  FROM reconciliations r
  LEFT JOIN LATERAL (SELECT line, problem, excerpt FROM report_bad_rows
                      WHERE merchant_id = r.merchant_id AND reconciliation_id = r.id AND line > $3
                      ORDER BY line LIMIT $4) b ON true
 WHERE r.merchant_id = $1 AND r.id = $2 AND r.forgotten_at IS NULL
 ORDER BY b.line`,
};

/** In their order; undefined: there is no such report. */
export async function listBadRows(
  database: Database,
  { merchantId, reportId }: { merchantId: bigint; reportId: bigint },
  { afterLine, limit }: { afterLine: bigint; limit: number },
  deadline: Deadline,
): Promise<ListedBadRow[] | undefined> {
  const values = [merchantId, reportId, afterLine, limit];
  const scope = { merchantIds: [merchantId] };
  const rows = await database.read<{ line: bigint | null; problem: string; excerpt: string }>(scope, deadline, {
    ...LIST,
    values,
  });
  if (rows.length === 0) return undefined;
  return rows.flatMap(({ line, problem, excerpt }) => (line === null ? [] : [{ line, problem, excerpt }]));
}
