import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { Balance, Side, Totals } from './account.js';
import { LATE_SUM_UNTIL } from './late-sums.js';
import { EFFECTIVE_AT_MAX_AHEAD_MS } from './limits.js';

/** Reads of accounts, balances and statements from the database. */

export interface AccountRecord {
  id: bigint;
  code: string;
  name: string;
  currency: string;
  normalSide: Side;
  minAvailable: bigint | null;
  closed: boolean;
  /** JSON text. */
  metadata: string;
  createdAtMs: number;
}

export interface BalanceRecord extends Totals {
  accountId: bigint;
  currency: string;
  normalSide: Side;
  version: bigint;
  /** When PostgreSQL read it, milliseconds since 1970. */
  asOfMs: number;
}

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

interface TotalsRow {
  posted_debits: bigint;
  posted_credits: bigint;
  pending_debits: bigint;
  pending_credits: bigint;
}

const GET_ACCOUNTS = `
SELECT a.id, a.code, a.name, a.currency, a.normal_side, a.min_available, a.metadata, a.created_at, b.closed
  FROM accounts a JOIN balances b ON b.merchant_id = a.merchant_id AND b.account_id = a.id
 WHERE a.merchant_id = $1`;

interface AccountRow {
  id: bigint;
  code: string;
  name: string;
  currency: string;
  normal_side: number;
  min_available: bigint | null;
  metadata: string;
  created_at: number;
  closed: boolean;
}

export async function getAccount(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<AccountRecord | undefined> {
  const [row] = await database.read<AccountRow>({ merchantIds: [merchantId] }, deadline, {
    name: 'get-account',
    text: `${GET_ACCOUNTS} AND a.id = $2`,
    values: [merchantId, id],
  });
  return row && toAccountRecord(row);
}

/** Newest first, below `beforeId`. `codePrefix` is a range of the code index (its collation is C). */
export async function listAccounts(
  database: Database,
  merchantId: bigint,
  query: { codePrefix: string | undefined; currency: string | undefined; beforeId: bigint | undefined; limit: number },
  deadline: Deadline,
): Promise<AccountRecord[]> {
  const values: unknown[] = [merchantId];
  const put = (value: unknown): string => `$${values.push(value)}`;
  let text = GET_ACCOUNTS;
  if (query.codePrefix !== undefined) text += ` AND a.code ^@ ${put(query.codePrefix)}`;
  if (query.currency !== undefined) text += ` AND a.currency = ${put(query.currency)}`;
  if (query.beforeId !== undefined) text += ` AND a.id < ${put(query.beforeId)}`;
  text += ` ORDER BY a.id DESC LIMIT ${put(query.limit)}`;
  const rows = await database.read<AccountRow>({ merchantIds: [merchantId] }, deadline, { text, values });
  return rows.map(toAccountRecord);
}

function toAccountRecord(row: AccountRow): AccountRecord {
  return {
    id: row.id,
    code: row.code,
    name: row.name,
    currency: row.currency,
    normalSide: toSide(row.normal_side),
    minAvailable: row.min_available,
    closed: row.closed,
    metadata: row.metadata,
    createdAtMs: row.created_at,
  };
}

/** now() is the start of the transaction: what the balance contains was committed by then. */
const GET_BALANCE = `
SELECT a.currency, a.normal_side, b.version, b.posted_debits, b.posted_credits, b.pending_debits, b.pending_credits, now() AS as_of
  FROM accounts a JOIN balances b ON b.merchant_id = a.merchant_id AND b.account_id = a.id
 WHERE a.merchant_id = $1 AND a.id = $2`;

interface BalanceRow extends TotalsRow {
  currency: string;
  normal_side: number;
  version: bigint;
  as_of: number;
}

export async function getBalance(
  database: Database,
  merchantId: bigint,
  accountId: bigint,
  deadline: Deadline,
): Promise<BalanceRecord | undefined> {
  const [row] = await database.read<BalanceRow>({ merchantIds: [merchantId] }, deadline, {
    name: 'get-balance',
    text: GET_BALANCE,
    values: [merchantId, accountId],
  });
  return row && toBalanceRecord(accountId, row);
}

const READ_BALANCES = `
SELECT account_id, posted_debits, posted_credits, pending_debits, pending_credits, version, last_transaction_id, closed
  FROM balances WHERE merchant_id = $1 AND account_id = ANY ($2::bigint[])`;

/** Balances as `decide` reads them, without a lock: for dry runs. */
export async function readBalances(
  database: Database,
  merchantId: bigint,
  accountIds: readonly bigint[],
  deadline: Deadline,
): Promise<Map<bigint, Balance>> {
  type Row = TotalsRow & { account_id: bigint; version: bigint; last_transaction_id: bigint; closed: boolean };
  const rows = await database.read<Row>({ merchantIds: [merchantId] }, deadline, {
    name: 'read-balances',
    text: READ_BALANCES,
    values: [merchantId, int8Array(accountIds)],
  });
  return new Map(
    rows.map((row) => [
      row.account_id,
      { ...toTotals(row), version: row.version, lastTransactionId: row.last_transaction_id, closed: row.closed },
    ]),
  );
}

/**
 * The balance by effective time: the running totals of the newest entry recorded by T, plus what late entries add (see
 * late-sums.ts), at the highest version that counts. $1 merchant, $2 account, $3 T in milliseconds, $4 the first Snowflake
 * after T, $5 T. 20 look-ups of one entry and at most 7 × 63 sums on an account with a million entries. OFFSET and LIMIT keep
 * the planner from calling the search twice and from hashing the whole account for the sake of one entry.
 *
 * The walk back (c) passes over entries recorded by T that take effect later, at most EFFECTIVE_AT_MAX_AHEAD_MS of them.
 */
const GET_BALANCE_AT = `
SELECT a.currency, a.normal_side, b.version AS newest_version, greatest(c.version, s.newest_version, 0) AS version,
       coalesce(e.posted_debits, 0) + s.posted_debits AS posted_debits, coalesce(e.posted_credits, 0) + s.posted_credits AS posted_credits,
       coalesce(e.pending_debits, 0) + s.pending_debits AS pending_debits, coalesce(e.pending_credits, 0) + s.pending_credits AS pending_credits,
       now() AS as_of
  FROM accounts a JOIN balances b ON b.merchant_id = a.merchant_id AND b.account_id = a.id
  CROSS JOIN LATERAL (SELECT account_version_before($1, $2, b.version, $4) AS version OFFSET 0) v
  LEFT JOIN LATERAL (SELECT posted_debits, posted_credits, pending_debits, pending_credits FROM entries
                      WHERE merchant_id = $1 AND account_id = $2 AND account_version = v.version LIMIT 1) e ON true
  LEFT JOIN LATERAL (SELECT account_version AS version FROM entries
                      WHERE merchant_id = $1 AND account_id = $2 AND account_version <= v.version AND effective_at <= $5
                      ORDER BY account_version DESC LIMIT 1) c ON true
  CROSS JOIN (${LATE_SUM_UNTIL}) s
 WHERE a.merchant_id = $1 AND a.id = $2`;

/** Exported for the tests of its plan. */
export function statementOfBalanceAt(
  merchantId: bigint,
  accountId: bigint,
  atMs: number,
): { text: string; values: unknown[] } {
  return {
    text: GET_BALANCE_AT,
    values: [merchantId, accountId, atMs, firstSnowflakeAt(atMs + 1), new Date(atMs)],
  };
}

/** `version` is the highest that is counted at T, `newestVersion` the account's today. */
export interface BalanceAtRecord extends BalanceRecord {
  newestVersion: bigint;
}

export async function getBalanceAt(
  database: Database,
  merchantId: bigint,
  accountId: bigint,
  atMs: number,
  deadline: Deadline,
): Promise<BalanceAtRecord | undefined> {
  const [row] = await database.read<BalanceRow & { newest_version: bigint }>({ merchantIds: [merchantId] }, deadline, {
    name: 'get-balance-at',
    ...statementOfBalanceAt(merchantId, accountId, atMs),
  });
  return row && { ...toBalanceRecord(accountId, row), newestVersion: row.newest_version };
}

function toBalanceRecord(accountId: bigint, row: BalanceRow): BalanceRecord {
  return {
    accountId,
    currency: row.currency,
    normalSide: toSide(row.normal_side),
    version: row.version,
    ...toTotals(row),
    asOfMs: row.as_of,
  };
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
  merchantId: bigint,
  query: {
    accountId: bigint;
    effectiveFromMs: number | undefined;
    effectiveToMs: number | undefined;
    beforeVersion: bigint | undefined;
    limit: number;
  },
  deadline: Deadline,
): Promise<StatementLine[]> {
  const { text, values } = statementOfLines(merchantId, query);
  const rows = await database.read<LineRow>({ merchantIds: [merchantId] }, deadline, { text, values });
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

function toSide(direction: number): Side {
  return direction === 1 ? 'debit' : 'credit';
}

function toTotals(row: TotalsRow): Totals {
  return {
    postedDebits: row.posted_debits,
    postedCredits: row.posted_credits,
    pendingDebits: row.pending_debits,
    pendingCredits: row.pending_credits,
  };
}
