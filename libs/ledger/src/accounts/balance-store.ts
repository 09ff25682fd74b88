import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { Balance, Side, Totals } from './account.js';
import { ADJUSTMENT_UNTIL } from './back-dated-adjustments.js';

/** Balances as PostgreSQL has them: current ones, and those by effective time. */

export interface TotalsRow {
  posted_debits: bigint;
  posted_credits: bigint;
  pending_debits: bigint;
  pending_credits: bigint;
}

/** A balance with its key. */
export interface KeyedBalance extends Balance {
  merchantId: bigint;
  accountId: bigint;
}

/** Current balances by their keys: $1 merchants, $2 accounts. `tail` locks the row, or says that there is but one. */
export function selectBalances(columns: string, tail: 'FOR NO KEY UPDATE' | 'LIMIT 1'): string {
  return `SELECT ${columns} FROM unnest($1::bigint[], $2::bigint[]) AS k (merchant_id, account_id)
  CROSS JOIN LATERAL (
    SELECT merchant_id, account_id, posted_debits, posted_credits, pending_debits, pending_credits, version,
           last_transaction_id, closed
      FROM balances WHERE merchant_id = k.merchant_id AND account_id = k.account_id
     ${tail}) AS b`;
}

export interface KeyedBalanceRow extends TotalsRow {
  merchant_id: bigint;
  account_id: bigint;
  version: bigint;
  last_transaction_id: bigint;
  closed: boolean;
}

export function toKeyedBalance(row: KeyedBalanceRow): KeyedBalance {
  return {
    merchantId: row.merchant_id,
    accountId: row.account_id,
    postedDebits: row.posted_debits,
    postedCredits: row.posted_credits,
    pendingDebits: row.pending_debits,
    pendingCredits: row.pending_credits,
    version: row.version,
    lastTransactionId: row.last_transaction_id,
    closed: row.closed,
  };
}

/** now() is the start of the transaction: what a balance contains was committed by then. */
const READ_BALANCES = { name: 'read-balances', text: selectBalances('b.*, now() AS as_of', 'LIMIT 1') };

/** Without a lock. Those that exist, in no order. */
export async function readBalances(
  database: Database,
  accounts: readonly { merchantId: bigint; accountId: bigint }[],
  deadline: Deadline,
): Promise<(KeyedBalance & { asOfMs: number })[]> {
  const merchantIds = [...new Set(accounts.map(({ merchantId }) => merchantId))];
  const rows = await database.read<KeyedBalanceRow & { as_of: number }>({ merchantIds }, deadline, {
    ...READ_BALANCES,
    values: [
      int8Array(accounts.map(({ merchantId }) => merchantId)),
      int8Array(accounts.map(({ accountId }) => accountId)),
    ],
  });
  return rows.map((row) => ({ ...toKeyedBalance(row), asOfMs: row.as_of }));
}

/**
 * The balance by effective time: the running totals of the newest entry recorded by T, plus what late entries add (see
 * back-dated-adjustments.ts), at the highest version that counts. $1 merchant, $2 account, $3 T in milliseconds, $4 the first Snowflake
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
  CROSS JOIN (${ADJUSTMENT_UNTIL}) s
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
export interface BalanceAt extends Totals {
  accountId: bigint;
  currency: string;
  normalSide: Side;
  version: bigint;
  newestVersion: bigint;
  /** When PostgreSQL read it, milliseconds since 1970. */
  asOfMs: number;
}

interface BalanceAtRow extends TotalsRow {
  currency: string;
  normal_side: number;
  version: bigint;
  newest_version: bigint;
  as_of: number;
}

export async function getBalanceAt(
  database: Database,
  merchantId: bigint,
  accountId: bigint,
  atMs: number,
  deadline: Deadline,
): Promise<BalanceAt | undefined> {
  const [row] = await database.read<BalanceAtRow>({ merchantIds: [merchantId] }, deadline, {
    name: 'get-balance-at',
    ...statementOfBalanceAt(merchantId, accountId, atMs),
  });
  return (
    row && {
      accountId,
      currency: row.currency,
      normalSide: toSide(row.normal_side),
      version: row.version,
      newestVersion: row.newest_version,
      ...toTotals(row),
      asOfMs: row.as_of,
    }
  );
}

export function toSide(direction: number): Side {
  return direction === 1 ? 'debit' : 'credit';
}

export function toTotals(row: TotalsRow): Totals {
  return {
    postedDebits: row.posted_debits,
    postedCredits: row.posted_credits,
    pendingDebits: row.pending_debits,
    pendingCredits: row.pending_credits,
  };
}
