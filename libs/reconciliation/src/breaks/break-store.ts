import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { BREAK_JSON, type BreakRow } from './break-row.js';
import { type BreakStatus, OPEN_STATUSES } from './break-status.js';

const FIND = {
  name: 'find-breaks',
  text: `SELECT ${BREAK_JSON} AS break FROM breaks b WHERE b.merchant_id = $1 AND b.id = ANY ($2::bigint[])`,
};

const IS_REPORT = {
  name: 'is-reconciliation',
  text: 'SELECT 1 FROM reconciliations WHERE merchant_id = $1 AND id = $2 AND forgotten_at IS NULL',
};

export interface BreakFilter {
  readonly reconciliationId?: bigint | undefined;
  readonly kind?: string | undefined;
  readonly status?: BreakStatus | undefined;
  readonly assignee?: string | undefined;
  readonly olderThanDays?: number | undefined;
}

export interface BreakPage extends BreakFilter {
  readonly beforeId: bigint | undefined;
  readonly limit: number;
}

/** Those of them that there are. */
export async function findBreaks(
  database: Database,
  merchantId: bigint,
  ids: readonly bigint[],
  deadline: Deadline,
): Promise<BreakRow[]> {
  const values = [merchantId, ids];
  return rowsOf(await database.read({ merchantIds: [merchantId] }, deadline, { ...FIND, values }));
}

/** Newest first. */
export async function listBreaks(
  database: Database,
  merchantId: bigint,
  page: BreakPage,
  deadline: Deadline,
): Promise<BreakRow[]> {
  const { reconciliationId, kind, status, assignee, olderThanDays } = page;
  // Whoever asks for those that are open means an index of these alone: it has to be said as the index says it.
  const isOpen = (OPEN_STATUSES as readonly (string | undefined)[]).includes(status);
  const text = `
SELECT ${BREAK_JSON} AS break FROM breaks b
 WHERE b.merchant_id = $1 AND ($2::bigint IS NULL OR b.id < $2)
   ${reconciliationId === undefined ? 'AND $3::bigint IS NULL' : 'AND b.reconciliation_id = $3::bigint'}
   AND ($4::text IS NULL OR b.kind = $4) AND ($5::text IS NULL OR b.status = $5) ${isOpen ? 'AND b.resolution IS NULL' : ''}
   AND ($6::text IS NULL OR b.assignee = $6) AND ($7::int IS NULL OR b.created_at < now() - $7 * interval '1 day')
 ORDER BY b.id DESC LIMIT $8`;
  const name = `list-breaks${reconciliationId === undefined ? '' : '-of-report'}${isOpen ? '-open' : ''}`;
  const values = [
    merchantId,
    page.beforeId ?? null,
    reconciliationId ?? null,
    kind ?? null,
    status ?? null,
    assignee ?? null,
    olderThanDays ?? null,
    page.limit,
  ];
  return rowsOf(await database.read({ merchantIds: [merchantId] }, deadline, { name, text, values }));
}

export async function isReport(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<boolean> {
  const values = [merchantId, id];
  return (await database.read({ merchantIds: [merchantId] }, deadline, { ...IS_REPORT, values })).length > 0;
}

function rowsOf(rows: readonly Record<string, unknown>[]): BreakRow[] {
  return rows.map((row) => JSON.parse(row.break as string) as BreakRow);
}
