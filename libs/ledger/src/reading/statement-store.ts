import { firstSnowflakeAt } from '#kernel/snowflake.js';
import type { Database, SearchBounds } from '#platform/postgres.js';
import type { Found, Search } from '#platform/search.js';
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

export interface StatementPage {
  accountId: bigint;
  effectiveFromMs: number | undefined;
  effectiveToMs: number | undefined;
  beforeVersion: bigint | undefined;
  limit: number;
}

/** An account's lines, newest first, below `beforeVersion`: a range of the entries' primary key, which covers them. */
export async function listStatementLines(
  database: Database,
  bounds: SearchBounds,
  page: StatementPage,
): Promise<Found<StatementLine>> {
  const search = statementSearch(bounds.merchantId, page);
  const found = await database.search(bounds, search, (row: LineRow) => row.account_version);
  return { ...found, rows: found.rows.map(lineOf) };
}

function lineOf(row: LineRow): StatementLine {
  return {
    transactionId: row.transaction_id,
    direction: toSide(row.direction),
    posted: row.posted_amount,
    pending: row.pending_amount,
    accountVersion: row.account_version,
    totals: toTotals(row),
    effectiveAtMs: row.effective_at,
    type: row.type,
  };
}

/** Columns that the primary key covers. */
const LINE = `transaction_id, direction, posted_amount, pending_amount, account_version, posted_debits, posted_credits,
  pending_debits, pending_credits, effective_at, type`;

/** Exported for the tests of its plan. */
export function statementSearch(merchantId: bigint, page: StatementPage): Search {
  const { accountId, effectiveFromMs, effectiveToMs, beforeVersion, limit } = page;
  const values: unknown[] = [merchantId, accountId];
  const put = (value: unknown): string => `$${values.push(value)}`;
  const tests: string[] = [];
  let walk = `SELECT ${LINE} FROM entries WHERE merchant_id = $1 AND account_id = $2`;
  if (beforeVersion !== undefined) walk += ` AND account_version < ${put(beforeVersion)}`;
  if (effectiveFromMs !== undefined) {
    // Nothing recorded before then can be effective since: the walk ends there.
    const recordedFrom = firstSnowflakeAt(effectiveFromMs - EFFECTIVE_AT_MAX_AHEAD_MS);
    walk += ` AND account_version > (
      SELECT account_version_before($1, $2, version, ${put(recordedFrom)}) FROM balances WHERE merchant_id = $1 AND account_id = $2)`;
    tests.push(`effective_at >= ${put(new Date(effectiveFromMs))}`);
  }
  if (effectiveToMs !== undefined) tests.push(`effective_at < ${put(new Date(effectiveToMs))}`);
  return { columns: LINE, walk, as: 'e', tests, order: ['account_version'], values, limit };
}
