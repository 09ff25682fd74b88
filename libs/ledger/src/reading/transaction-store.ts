import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, SearchBounds } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { MAX_REVERSAL_DEPTH, type TransactionChange } from '../posting/command.js';
import {
  type Entry,
  initialState,
  type Transaction,
  type TransactionKind,
  type TransactionState,
  type TransactionStatus,
} from '../posting/transaction.js';

/** Reads of transactions. Every statement is bound to one merchant by its scope *and* by its leading key column. */

export interface StoredTransaction {
  transaction: Transaction;
  state: TransactionState;
}

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

/** $1 merchant, $2 ids. One row per entry, in the order of the ids and of the entries. All index look-ups by primary key. */
const LOAD_TRANSACTIONS = `
SELECT t.id, t.kind, t.type, t.amount, t.currency, t.external_ref, t.effective_at, t.parent_id, t.expires_at, t.description,
       t.metadata, t.ignored_floor, s.status, s.remaining, s.reversed, s.left_amounts::text,
       e.account_id, e.account_version, e.direction, e.currency AS entry_currency, e.posted_amount, e.pending_amount,
       e.posted_debits, e.posted_credits, e.pending_debits, e.pending_credits
  FROM unnest($2::bigint[]) WITH ORDINALITY AS wanted (id, place)
  CROSS JOIN LATERAL (SELECT * FROM transactions
                       WHERE merchant_id = $1 AND created_at = snowflake_time(wanted.id) AND id = wanted.id LIMIT 1) t
  CROSS JOIN LATERAL generate_series(1, cardinality(t.legs), 2) AS leg
  CROSS JOIN LATERAL (SELECT * FROM entries
                       WHERE merchant_id = $1 AND account_id = t.legs[leg] AND account_version = t.legs[leg + 1] LIMIT 1) e
  LEFT JOIN transaction_states s ON s.merchant_id = $1 AND s.transaction_id = t.id
 ORDER BY wanted.place, leg`;

interface TransactionRow {
  id: bigint;
  kind: TransactionKind;
  type: string;
  amount: bigint;
  currency: string;
  external_ref: string | null;
  effective_at: number;
  parent_id: bigint | null;
  expires_at: number | null;
  description: string | null;
  metadata: string | null;
  ignored_floor: boolean;
  status: TransactionStatus | null;
  remaining: bigint | null;
  reversed: bigint | null;
  left_amounts: string | null;
  account_id: bigint;
  account_version: bigint;
  direction: number;
  entry_currency: string;
  posted_amount: bigint;
  pending_amount: bigint;
  posted_debits: bigint;
  posted_credits: bigint;
  pending_debits: bigint;
  pending_credits: bigint;
}

/** The transactions that exist, in the order asked for. */
export async function loadTransactions(
  database: Database,
  merchantId: bigint,
  ids: readonly bigint[],
  deadline: Deadline,
): Promise<StoredTransaction[]> {
  const rows = await database.read<TransactionRow>({ merchantIds: [merchantId] }, deadline, {
    name: 'load-transactions',
    text: LOAD_TRANSACTIONS,
    values: [merchantId, int8Array(ids)],
  });
  const found = new Map<bigint, { row: TransactionRow; entries: Entry[] }>();
  for (const row of rows) {
    let transaction = found.get(row.id);
    if (!transaction) {
      transaction = { row, entries: [] };
      found.set(row.id, transaction);
    }
    transaction.entries.push(toEntry(row));
  }
  return [...found.values()].map(({ row, entries }) => toStored(row, entries));
}

function toEntry(row: TransactionRow): Entry {
  return {
    accountId: row.account_id,
    accountVersion: row.account_version,
    direction: row.direction === 1 ? 'debit' : 'credit',
    currency: row.entry_currency,
    posted: row.posted_amount,
    pending: row.pending_amount,
    postedDebits: row.posted_debits,
    postedCredits: row.posted_credits,
    pendingDebits: row.pending_debits,
    pendingCredits: row.pending_credits,
  };
}

function toStored(row: TransactionRow, entries: Entry[]): StoredTransaction {
  const transaction: Transaction = {
    id: row.id,
    kind: row.kind,
    type: row.type,
    amount: row.amount,
    currency: row.currency,
    description: row.description ?? undefined,
    externalRef: row.external_ref ?? undefined,
    effectiveAtMs: row.effective_at,
    expiresAtMs: row.expires_at ?? undefined,
    parentId: row.parent_id ?? undefined,
    metadata: row.metadata ?? undefined,
    ignoredFloor: row.ignored_floor,
    entries,
  };
  const { status, left_amounts } = row;
  if (status === null || left_amounts === null) return { transaction, state: initialState(transaction) };
  const { remaining, reversed } = row;
  const left = amountsOf(left_amounts);
  return { transaction, state: { status, left, remaining: remaining ?? 0n, reversed: reversed ?? 0n } };
}

/** A `bigint[]` as PostgreSQL writes it: `{1,2}`. */
export function amountsOf(text: string): bigint[] {
  return text.slice(1, -1).split(',').map(BigInt);
}

/**
 * $1 merchant, $2 a transaction, $3 how many: the ids of the transaction and, where it is a reversal, of what it reversed, and
 * so on up to the first that is none. By primary key, step by step.
 */
const REVERSED_CHAIN = `
WITH RECURSIVE chain (id, kind, parent_id, place) AS (
  (SELECT id, kind, parent_id, 1 FROM transactions WHERE merchant_id = $1 AND created_at = snowflake_time($2) AND id = $2)
  UNION ALL
  SELECT t.id, t.kind, t.parent_id, place + 1 FROM chain c CROSS JOIN LATERAL (
    SELECT id, kind, parent_id FROM transactions
     WHERE merchant_id = $1 AND created_at = snowflake_time(c.parent_id) AND id = c.parent_id LIMIT 1) t
   WHERE c.kind = 'reversal' AND place < $3)
SELECT id FROM chain ORDER BY place`;

async function reversedChain(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<bigint[]> {
  const rows = await database.read<{ id: bigint }>({ merchantIds: [merchantId] }, deadline, {
    name: 'reversed-chain',
    text: REVERSED_CHAIN,
    values: [merchantId, id, MAX_REVERSAL_DEPTH + 1],
  });
  return rows.map((row) => row.id);
}

/**
 * The transaction that a command refers to; before it, where it is a reversal that is to be reversed, all that it goes back to.
 * Undefined: no such transaction.
 */
export async function loadParents(
  database: Database,
  { merchantId, deadline }: RequestContext,
  { kind, parentId }: TransactionChange,
): Promise<[parent: Transaction, ...others: Transaction[]] | undefined> {
  const [parent] = await loadTransactions(database, merchantId, [parentId], deadline);
  if (!parent) return undefined;
  if (kind !== 'reverse' || parent.transaction.kind !== 'reversal') return [parent.transaction];
  const chain = await reversedChain(database, merchantId, parentId, deadline);
  const others = await loadTransactions(database, merchantId, chain, deadline);
  return [parent.transaction, ...others.map(({ transaction }) => transaction)];
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

/**
 * A page of summaries, newest first, below `beforeId`. Without filters it is one index-only scan of the primary key; a
 * filter by account walks that account's entries, by parent_id or external_ref its own index, by a moving status the states; the others
 * are tested along the key.
 */
export async function listTransactions(
  database: Database,
  bounds: SearchBounds,
  query: { filter: TransactionFilter; beforeId: bigint | undefined; limit: number },
): Promise<TransactionSummary[]> {
  const statement = listStatement(bounds.merchantId, query);
  const rows = await database.search<SummaryRow>(bounds, statement, { tests: testsOf(query.filter) });
  return rows.map((row) => ({
    id: row.id,
    type: row.type,
    status: row.status ?? (row.kind === 'pending' ? 'pending' : 'posted'),
    amount: row.amount,
    currency: row.currency,
    externalRef: row.external_ref,
    effectiveAtMs: row.effective_at,
    createdAtMs: row.created_at,
    parentId: row.parent_id,
  }));
}

/** What of a filter is tested along its walk. The rest of it bounds the walk. */
function testsOf(filter: TransactionFilter): unknown[] {
  const { type, status, effectiveFromMs, effectiveToMs, accountId, externalRef, parentId } = filter;
  const refs =
    accountId === undefined && (externalRef === undefined || parentId === undefined) ? [] : [externalRef, parentId];
  return [type, status, effectiveFromMs, effectiveToMs, ...refs];
}

/** Exported for the tests of its plans. */
export function listStatement(
  merchantId: bigint,
  query: { filter: TransactionFilter; beforeId: bigint | undefined; limit: number },
): { text: string; values: unknown[] } {
  const { filter } = query;
  const values: unknown[] = [merchantId];
  const put = (value: unknown): string => `$${values.push(value)}`;
  const below = minimum(
    query.beforeId,
    filter.createdToMs === undefined ? undefined : firstSnowflakeAt(filter.createdToMs),
  );
  const walk = walkOf(filter, put, {
    below: below === undefined ? undefined : put(below),
    from: filter.createdFromMs === undefined ? undefined : put(firstSnowflakeAt(filter.createdFromMs)),
  });
  const conditions = [...walk.conditions];
  if (filter.type !== undefined) conditions.push(`t.type = ${put(filter.type)}`);
  if (filter.parentId !== undefined) conditions.push(`t.parent_id = ${put(filter.parentId)}`);
  if (filter.externalRef !== undefined) conditions.push(`t.external_ref = ${put(filter.externalRef)}`);
  if (filter.effectiveFromMs !== undefined)
    conditions.push(`t.effective_at >= ${put(new Date(filter.effectiveFromMs))}`);
  if (filter.effectiveToMs !== undefined) conditions.push(`t.effective_at < ${put(new Date(filter.effectiveToMs))}`);
  if (filter.status !== undefined && !walk.statusDone) {
    conditions.push(
      `coalesce(s.status, CASE t.kind WHEN 'pending' THEN 'pending' ELSE 'posted' END) = ${put(filter.status)}`,
    );
  }
  return {
    text: `SELECT ${SUMMARY}, s.status FROM ${walk.source} WHERE ${conditions.join(' AND ')}
            ORDER BY ${walk.order} LIMIT ${put(query.limit)}`,
    values,
  };
}

/** One index, walked backwards: ids ascend along the primary key, along parent_id, external_ref, states, and an account's versions. */
interface Walk {
  source: string;
  conditions: string[];
  order: string;
  /** The conditions contain the filter by status. */
  statusDone?: boolean;
}

/** Parameters that bound the ids of a walk: `below` exclusive, `from` inclusive. */
interface Bounds {
  below: string | undefined;
  from: string | undefined;
}

/** Only pending transactions move: for the others the state is never looked up. */
const STATE = `LEFT JOIN LATERAL (
  SELECT status FROM transaction_states
   WHERE merchant_id = t.merchant_id AND transaction_id = t.id AND t.kind = 'pending' LIMIT 1) s ON true`;

function walkOf(filter: TransactionFilter, put: (value: unknown) => string, bounds: Bounds): Walk {
  if (filter.accountId !== undefined) return walkAccount(put(filter.accountId), bounds);
  if (filter.externalRef !== undefined || filter.parentId !== undefined)
    return walkIds(`transactions t ${STATE}`, 't.merchant_id', 't.id', bounds);
  if (filter.status !== undefined && filter.status !== 'posted') {
    // Whatever has such a status has a row that says so. LATERAL … LIMIT: a join would be turned round, hashed and sorted.
    const source = `transaction_states s CROSS JOIN LATERAL (
      SELECT * FROM transactions
       WHERE merchant_id = $1 AND created_at = snowflake_time(s.transaction_id) AND id = s.transaction_id LIMIT 1) t`;
    const walk = walkIds(source, 's.merchant_id', 's.transaction_id', bounds);
    return { ...walk, conditions: [...walk.conditions, `s.status = ${put(filter.status)}`], statusDone: true };
  }
  // The bare row comparison keeps the page on the primary key; an id alone says both columns.
  const { below, from } = bounds;
  const conditions = ['t.merchant_id = $1'];
  if (below) conditions.push(`(t.created_at, t.id) < (snowflake_time(${below}), ${below})`);
  if (from) conditions.push(`(t.created_at, t.id) >= (snowflake_time(${from}), ${from})`);
  return { source: `transactions t ${STATE}`, conditions, order: 't.created_at DESC, t.id DESC' };
}

function walkIds(source: string, merchant: string, id: string, { below, from }: Bounds): Walk {
  const conditions = [`${merchant} = $1`];
  if (below) conditions.push(`${id} < ${below}`);
  if (from) conditions.push(`${id} >= ${from}`);
  return { source, conditions, order: `${id} DESC` };
}

/**
 * A transaction's entries on one account have neighbouring versions: the last of them stands for it. A scalar look-up of
 * the next entry, because NOT EXISTS becomes a join that reads the whole account again for every line.
 */
function walkAccount(account: string, { below, from }: Bounds): Walk {
  const newest = `(SELECT version FROM balances WHERE merchant_id = $1 AND account_id = ${account})`;
  const versionBefore = (id: string): string => `(SELECT account_version_before($1, ${account}, ${newest}, ${id}))`;
  const conditions = ['e.merchant_id = $1', `e.account_id = ${account}`];
  conditions.push(`(SELECT n.transaction_id FROM entries n WHERE n.merchant_id = $1 AND n.account_id = ${account}
    AND n.account_version = e.account_version + 1) IS DISTINCT FROM e.transaction_id`);
  if (below) conditions.push(`e.account_version <= ${versionBefore(below)}`);
  if (from) conditions.push(`e.account_version > ${versionBefore(from)}`);
  const source = `entries e
    CROSS JOIN LATERAL (SELECT * FROM transactions WHERE merchant_id = $1
                           AND created_at = snowflake_time(e.transaction_id) AND id = e.transaction_id LIMIT 1) t ${STATE}`;
  return { source, conditions, order: 'e.account_version DESC' };
}

function minimum(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a < b ? a : b;
}
