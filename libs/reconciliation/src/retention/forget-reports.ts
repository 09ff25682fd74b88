import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { int8Array } from '#platform/binary-array.js';
import { Deadline } from '#platform/deadline.js';
import { merchantPages } from '#platform/merchant-pages.js';
import type { Database, Query } from '#platform/postgres.js';
import { RECONCILIATION_DUE } from '../closing/close-report.js';
import { INTERNAL } from '../internal/found.js';
import { inTurn } from '../matching/turn.js';
import type { ReportKey } from '../reports/report.js';
import { DELETED_AT_ONCE, type DeletedSome, deleteSome } from '../reports/report-pieces.js';

export interface Retention {
  readonly reportsMs: number;
  /** Of bad rows, and of uploads that failed. */
  readonly badRowsMs: number;
  readonly checksMs: number;
}

/** Reports of one page of merchants. */
const REPORTS = 1_000;
const BATCH_DEADLINE_MS = 30_000;
const TABLES = ['report_staging', 'report_bad_rows', 'report_rows'] as const;

/**
 * $1 merchants; $2 reports with lower ids, $3 those of uploads that failed, $4 those of our own checks; $5 at most. Not those that a break which is open
 * is of, or of whose rows it is, nor what is looked at again; nor a merchant's last check, which says how far its days have been looked at.
 */
const OLD = `
WITH held AS MATERIALIZED (
  SELECT b.merchant_id, b.reconciliation_id FROM breaks b WHERE b.merchant_id = ANY ($1::bigint[]) AND b.resolution IS NULL
   UNION
  SELECT r.merchant_id, r.reconciliation_id
    FROM breaks b JOIN report_rows r ON r.merchant_id = b.merchant_id AND r.source = b.row_source AND r.identity = b.row_identity
   WHERE b.merchant_id = ANY ($1::bigint[]) AND b.resolution IS NULL
)
SELECT c.merchant_id, c.id FROM reconciliations c
 WHERE c.merchant_id = ANY ($1::bigint[]) AND c.status IN ('completed', 'failed')
   AND (c.forgotten_at IS NOT NULL OR c.id < $2 OR c.id < $3 AND c.status = 'failed' AND c.tries = 0 OR c.id < $4 AND c.source = '${INTERNAL}')
   AND NOT EXISTS (SELECT FROM held h WHERE h.merchant_id = c.merchant_id AND h.reconciliation_id = c.id)
   AND NOT EXISTS (SELECT FROM due_rows d
                    WHERE d.merchant_id = c.merchant_id AND d.kind = '${RECONCILIATION_DUE}' AND d.subject_id = c.id)
   AND (c.source <> '${INTERNAL}' OR EXISTS (SELECT FROM reconciliations l
                                              WHERE l.merchant_id = c.merchant_id AND l.source = '${INTERNAL}' AND l.id > c.id
                                                AND l.period_to >= coalesce(c.period_to, '-infinity')))
 ORDER BY c.merchant_id, c.id LIMIT $5`;

/** $1 merchant, $2 report. From here on it is forgotten, whoever dies before all of it is gone. */
const MARK = `
WITH marked AS (
  UPDATE reconciliations c SET forgotten_at = coalesce(forgotten_at, now())
   WHERE merchant_id = $1 AND id = $2 AND status IN ('completed', 'failed')
     AND NOT EXISTS (SELECT FROM breaks b WHERE b.merchant_id = c.merchant_id AND b.reconciliation_id = c.id AND b.resolution IS NULL)
  RETURNING 1)
SELECT count(*)::int AS count FROM marked`;
const END = `
WITH gone AS (DELETE FROM reconciliations WHERE merchant_id = $1 AND id = $2 AND forgotten_at IS NOT NULL RETURNING 1)
SELECT count(*)::int AS count FROM gone`;

/** $1 merchants, $2 of reports with lower ids, $3 at most. */
const PURGE_BAD_ROWS = `
DELETE FROM report_bad_rows WHERE ctid = ANY (ARRAY (
  SELECT ctid FROM report_bad_rows WHERE merchant_id = ANY ($1::bigint[]) AND reconciliation_id < $2 LIMIT $3))`;

/**
 * Forgets reports with all that they told, and before that bad rows, some at a time. That an item has been matched stays, so that none ever is in two
 * matches; breaks stay, as what people decided. Returns how many reports.
 */
export async function forgetReports(database: Database, retention: Retention, nowMs: number): Promise<number> {
  const before = (ms: number) => firstSnowflakeAt(nowMs - ms);
  const { reportsMs, badRowsMs, checksMs } = retention;
  let forgotten = 0;
  for await (const merchantIds of merchantPages(database, newDeadline)) {
    await forgetBadRows(database, merchantIds, before(badRowsMs));
    const values = [int8Array(merchantIds), before(reportsMs), before(badRowsMs), before(checksMs), REPORTS];
    for (let count = REPORTS; count === REPORTS; ) {
      const old = await database.read<{ merchant_id: bigint; id: bigint }>({ merchantIds }, newDeadline(), {
        text: OLD,
        values,
      });
      count = 0;
      for (const { merchant_id: merchantId, id } of old) count += await forget(database, { merchantId, id });
      forgotten += count;
    }
  }
  return forgotten;
}

async function forgetBadRows(database: Database, merchantIds: readonly bigint[], before: bigint): Promise<void> {
  const query = { text: PURGE_BAD_ROWS, values: [int8Array(merchantIds), before, DELETED_AT_ONCE] };
  const purge = () => database.transaction({ merchantIds }, newDeadline(), (client) => client.query(query));
  while ((await purge()).rowCount === DELETED_AT_ONCE);
}

/** In the merchant's turn, so that whoever matches sees a report's rows or does not. Returns 1, or 0 where there is nothing to be forgotten. */
async function forget(database: Database, report: ReportKey): Promise<number> {
  const scope = { merchantIds: [report.merchantId] };
  const inItsTurn = (query: Query) =>
    database.transaction(scope, newDeadline(), (client) => inTurn<DeletedSome>(client, report.merchantId, query));
  const values = [report.merchantId, report.id];
  const marked = await inItsTurn({ text: MARK, values });
  if (marked.count === 0) return 0;
  for (const table of TABLES) while ((await inItsTurn(deleteSome(table, report))).count === DELETED_AT_ONCE);
  return (await inItsTurn({ text: END, values })).count;
}

function newDeadline(): Deadline {
  return Deadline.after(BATCH_DEADLINE_MS);
}
