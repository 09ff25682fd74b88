import { firstSnowflakeAt } from '#kernel/snowflake.js';
import type { Database, SearchBounds } from '#platform/postgres.js';
import type { Side, Totals } from '../accounts/account.js';
import { type TotalsRow, toSide, toTotals } from '../accounts/balance-store.js';
import { EFFECTIVE_AT_MAX_AHEAD_MS } from '../posting/command.js';

export interface StatementLine {
  transactionId: bigint;
  direction: Side;
  posted: bigint;
  pending: bigint;
  accountVersion: bigint;
  /** The account's totals after this line. */
  totals: Totals;
  effectiveAtMs: number;
  type: string;
}

interface LineRow extends TotalsRow {
  transaction_id: bigint;
  direction: number;
  posted_amount: bigint;
  pending_amount: bigint;
  account_version: bigint;
  effective_at: number;
  type: string;
}

/** An account's lines, newest first, below `beforeVersion`: a range of the entries' primary key, which covers them. */
export async function listStatementLines(
  database: Database,
  bounds: SearchBounds,
  query: {
    accountId: bigint;
    effectiveFromMs: number | undefined;
    effectiveToMs: number | undefined;
    beforeVersion: bigint | undefined;
    limit: number;
  },
): Promise<StatementLine[]> {
  const statement = statementOfLines(bounds.merchantId, query);
  const rows = await database.search<LineRow>(bounds, statement, {
    tests: [query.effectiveFromMs, query.effectiveToMs],
  });
  return rows.map((row) => ({
    transactionId: row.transaction_id,
    direction: toSide(row.direction),
    posted: row.posted_amount,
    pending: row.pending_amount,
    accountVersion: row.account_version,
    totals: toTotals(row),
    effectiveAtMs: row.effective_at,
    type: row.type,
  }));
}

/** Exported for the tests of its plan. */
export function statementOfLines(
  merchantId: bigint,
  query: {
    accountId: bigint;
    effectiveFromMs: number | undefined;
    effectiveToMs: number | undefined;
    beforeVersion: bigint | undefined;
    limit: number;
  },
): { text: string; values: unknown[] } {
  const values: unknown[] = [merchantId, query.accountId];
  const put = (value: unknown): string => `$${values.push(value)}`;
  let text = `SELECT transaction_id, direction, posted_amount, pending_amount, account_version, posted_debits, posted_credits,
                     pending_debits, pending_credits, effective_at, type
                FROM entries WHERE merchant_id = $1 AND account_id = $2`;
  if (query.beforeVersion !== undefined) text += ` AND account_version < ${put(query.beforeVersion)}`;
  if (query.effectiveFromMs !== undefined) {
    // Nothing recorded before then can be effective since: the scan ends there.
    const recordedFrom = firstSnowflakeAt(query.effectiveFromMs - EFFECTIVE_AT_MAX_AHEAD_MS);
    text += ` AND effective_at >= ${put(new Date(query.effectiveFromMs))} AND account_version > (
      SELECT account_version_before($1, $2, version, ${put(recordedFrom)}) FROM balances WHERE merchant_id = $1 AND account_id = $2)`;
  }
  if (query.effectiveToMs !== undefined) text += ` AND effective_at < ${put(new Date(query.effectiveToMs))}`;
  text += ` ORDER BY account_version DESC LIMIT ${put(query.limit)}`;
  return { text, values };
}
