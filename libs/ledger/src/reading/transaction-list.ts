import { firstSnowflakeAt } from '#kernel/snowflake.js';
import type { Database, SearchBounds } from '#platform/postgres.js';
import type { Found, Search } from '#platform/search.js';
import type { TransactionKind, TransactionStatus } from '../posting/transaction.js';

/** What lists show of a transaction: exactly the columns that the primary key covers, and the status where it can move. */
export interface TransactionSummary {
  id: bigint;
  type: string;
  status: TransactionStatus;
  amount: bigint;
  currency: string;
  externalRef: string | null;
  effectiveAtMs: number;
  createdAtMs: number;
  parentId: bigint | null;
}

export interface TransactionFilter {
  accountId?: bigint;
  type?: string;
  status?: TransactionStatus;
  externalRef?: string;
  parentId?: bigint;
  /** Milliseconds since 1970, from inclusive, to exclusive. */
  createdFromMs?: number;
  createdToMs?: number;
  effectiveFromMs?: number;
  effectiveToMs?: number;
}

/** Columns that the primary key covers. `t` is the transactions table. */
const SUMMARY = 't.id, t.kind, t.type, t.amount, t.currency, t.external_ref, t.effective_at, t.created_at, t.parent_id';

interface SummaryRow {
  id: bigint;
  kind: TransactionKind;
  type: string;
  amount: bigint;
  currency: string;
  external_ref: string | null;
  effective_at: number;
  created_at: number;
  parent_id: bigint | null;
  status: TransactionStatus | null;
}

export interface TransactionPage {
  filter: TransactionFilter;
  beforeId: bigint | undefined;
  limit: number;
}

/**
 * A page of summaries, newest first, below `beforeId`. Without filters it is one index-only scan of the primary key; a
 * filter by account walks that account's entries, by parent_id or external_ref its own index, by a moving status the states; the others
 * are tested along the key.
 */
export async function listTransactions(
  database: Database,
  bounds: SearchBounds,
  page: TransactionPage,
): Promise<Found<TransactionSummary>> {
  const search = transactionSearch(bounds.merchantId, page);
  const found = await database.search(bounds, search, (row: SummaryRow) => row.id);
  return { ...found, rows: found.rows.map(summaryOf) };
}

function summaryOf(row: SummaryRow): TransactionSummary {
  return {
    id: row.id,
    type: row.type,
    status: row.status ?? (row.kind === 'pending' ? 'pending' : 'posted'),
    amount: row.amount,
    currency: row.currency,
    externalRef: row.external_ref,
    effectiveAtMs: row.effective_at,
    createdAtMs: row.created_at,
    parentId: row.parent_id,
  };
}

/** Exported for the tests of its plans. */
export function transactionSearch(merchantId: bigint, { filter, beforeId, limit }: TransactionPage): Search {
  const values: unknown[] = [merchantId];
  const put = (value: unknown): string => `$${values.push(value)}`;
  const { createdFromMs, createdToMs } = filter;
  const below = minimum(beforeId, createdToMs === undefined ? undefined : firstSnowflakeAt(createdToMs));
  const walk = walkOf(filter, put, {
    below: below === undefined ? undefined : put(below),
    from: createdFromMs === undefined ? undefined : put(firstSnowflakeAt(createdFromMs)),
  });
  return { columns: `${SUMMARY}, s.status`, ...walk, values, limit };
}

/** What of a filter no index finds. */
function testsOf(filter: TransactionFilter, put: Put): string[] {
  const { type, status, effectiveFromMs, effectiveToMs } = filter;
  const tests: string[] = [];
  if (type !== undefined) tests.push(`t.type = ${put(type)}`);
  if (effectiveFromMs !== undefined) tests.push(`t.effective_at >= ${put(new Date(effectiveFromMs))}`);
  if (effectiveToMs !== undefined) tests.push(`t.effective_at < ${put(new Date(effectiveToMs))}`);
  if (status !== undefined)
    tests.push(`coalesce(s.status, CASE t.kind WHEN 'pending' THEN 'pending' ELSE 'posted' END) = ${put(status)}`);
  return tests;
}

/** One index, walked backwards: ids ascend along the primary key, along parent_id, external_ref, states, and an account's versions. */
type Walk = Pick<Search, 'walk' | 'as' | 'join' | 'tests' | 'order'>;

/** Parameters that bound the ids of a walk: `below` exclusive, `from` inclusive. */
interface Bounds {
  below: string | undefined;
  from: string | undefined;
}

type Put = (value: unknown) => string;

/** Only pending transactions move: for the others the state is never looked up. */
const STATE = `LEFT JOIN LATERAL (
  SELECT status FROM transaction_states
   WHERE merchant_id = t.merchant_id AND transaction_id = t.id AND t.kind = 'pending' LIMIT 1) s ON true`;

/** LATERAL … LIMIT: a join would be turned round, hashed and sorted. */
const transactionOf = (id: string): string => `CROSS JOIN LATERAL (
  SELECT * FROM transactions WHERE merchant_id = $1 AND created_at = snowflake_time(${id}) AND id = ${id} LIMIT 1) t`;

function walkOf(filter: TransactionFilter, put: Put, bounds: Bounds): Walk {
  const { accountId, parentId, externalRef, status } = filter;
  if (accountId !== undefined) return walkAccount(filter, put, bounds);
  if (parentId !== undefined || externalRef !== undefined) return walkReference(filter, put, bounds);
  if (status !== undefined && status !== 'posted') return walkStates(filter, put, bounds);
  // The bare row comparison keeps the page on the primary key; an id alone says both columns.
  const { below, from } = bounds;
  let walk = 'SELECT * FROM transactions WHERE merchant_id = $1';
  if (below) walk += ` AND (created_at, id) < (snowflake_time(${below}), ${below})`;
  if (from) walk += ` AND (created_at, id) >= (snowflake_time(${from}), ${from})`;
  return { walk, as: 't', join: STATE, tests: testsOf(filter, put), order: ['created_at', 'id'] };
}

/** What moved a transaction, or has a reference; of both the former, of which there are few. */
function walkReference(filter: TransactionFilter, put: Put, bounds: Bounds): Walk {
  const { parentId, externalRef } = filter;
  const [column, value] = parentId === undefined ? ['external_ref', externalRef] : ['parent_id', parentId];
  const walk = `SELECT * FROM transactions WHERE merchant_id = $1 AND ${column} = ${put(value)}${idsWithin('id', bounds)}`;
  const tests = testsOf(filter, put);
  if (parentId !== undefined && externalRef !== undefined) tests.push(`t.external_ref = ${put(externalRef)}`);
  return { walk, as: 't', join: STATE, tests, order: ['id'] };
}

/** Whatever has a status other than posted has a row that says so. */
function walkStates({ status, ...others }: TransactionFilter, put: Put, bounds: Bounds): Walk {
  const within = idsWithin('transaction_id', bounds);
  const walk = `SELECT transaction_id, status FROM transaction_states WHERE merchant_id = $1 AND status = ${put(status)}${within}`;
  return {
    walk,
    as: 's',
    join: transactionOf('s.transaction_id'),
    tests: testsOf(others, put),
    order: ['transaction_id'],
  };
}

/**
 * A transaction's entries on one account have neighbouring versions: the last of them stands for it. A scalar look-up of
 * the next entry, because NOT EXISTS becomes a join that reads the whole account again for every line.
 */
function walkAccount(filter: TransactionFilter, put: Put, { below, from }: Bounds): Walk {
  const account = put(filter.accountId);
  const newest = `(SELECT version FROM balances WHERE merchant_id = $1 AND account_id = ${account})`;
  const versionBefore = (id: string): string => `(SELECT account_version_before($1, ${account}, ${newest}, ${id}))`;
  let walk = `SELECT transaction_id, account_version FROM entries WHERE merchant_id = $1 AND account_id = ${account}`;
  if (below) walk += ` AND account_version <= ${versionBefore(below)}`;
  if (from) walk += ` AND account_version > ${versionBefore(from)}`;
  const isLast = `(SELECT n.transaction_id FROM entries n WHERE n.merchant_id = $1 AND n.account_id = ${account}
    AND n.account_version = e.account_version + 1) IS DISTINCT FROM e.transaction_id`;
  const tests = [isLast, ...testsOf(filter, put)];
  const { parentId, externalRef } = filter;
  if (parentId !== undefined) tests.push(`t.parent_id = ${put(parentId)}`);
  if (externalRef !== undefined) tests.push(`t.external_ref = ${put(externalRef)}`);
  return { walk, as: 'e', join: `${transactionOf('e.transaction_id')} ${STATE}`, tests, order: ['account_version'] };
}

function idsWithin(id: string, { below, from }: Bounds): string {
  return `${below ? ` AND ${id} < ${below}` : ''}${from ? ` AND ${id} >= ${from}` : ''}`;
}

function minimum(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}
