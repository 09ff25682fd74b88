import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
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
