import type { NewEvent } from '#outbox/event.js';
import { boolArray, byteaArray, int2Array, int8Array, textArray, timestamptzArray } from '#platform/binary-array.js';
import type { Balance } from './account.js';
import { type LateSum, lateSums } from './late-sums.js';
import type { Transaction, TransactionState } from './transaction.js';

/** What a commit group writes, and how it is sent: one array for each column, the parameters of group-store.ts in their order. */

/** A row that a group touches, keyed by tenant. */
export interface TenantId {
  merchantId: bigint;
  id: bigint;
}

export interface StoredKey {
  merchantId: bigint;
  key: string;
  requestSha256: Buffer;
  status: number;
  transactionId: bigint | null;
  response: string | null;
}

export interface StoredState extends TransactionState, TenantId {}

export interface GroupWrites {
  /** Snowflake, unique per attempt: decides an ambiguous COMMIT. */
  token: bigint;
  transactions: { merchantId: bigint; transaction: Transaction }[];
  balances: { merchantId: bigint; accountId: bigint; balance: Balance }[];
  states: { merchantId: bigint; transactionId: bigint; expiresAtMs: number | undefined; value: TransactionState }[];
  keys: StoredKey[];
  events: NewEvent[];
}

export function lateRows(writes: GroupWrites): (LateSum & { merchantId: bigint })[] {
  const byMerchant = Map.groupBy(writes.transactions, (written) => written.merchantId);
  const rows = [...byMerchant].flatMap(([merchantId, written]) =>
    lateSums(written.map(({ transaction }) => transaction)).map((sum) => ({ ...sum, merchantId })),
  );
  // Two groups may share an account only one after the other (its balance is locked), so any order is free of deadlocks.
  return rows;
}

export function lateParameters(rows: (LateSum & { merchantId: bigint })[]): Buffer[] {
  return [
    int8Array(rows.map((row) => row.merchantId)),
    int8Array(rows.map((row) => row.accountId)),
    int2Array(rows.map((row) => row.level)),
    int8Array(rows.map((row) => row.bucket)),
    int8Array(rows.map((row) => row.postedDebits)),
    int8Array(rows.map((row) => row.postedCredits)),
    int8Array(rows.map((row) => row.pendingDebits)),
    int8Array(rows.map((row) => row.pendingCredits)),
    int8Array(rows.map((row) => row.newestVersion)),
  ];
}

export function stateParameters(rows: GroupWrites['states']): Buffer[] {
  // One row per transaction: a later command of the same group overrides an earlier one.
  const newest = [...new Map(rows.map((row) => [`${row.merchantId}:${row.transactionId}`, row])).values()];
  return [
    int8Array(newest.map((row) => row.merchantId)),
    int8Array(newest.map((row) => row.transactionId)),
    textArray(newest.map((row) => row.value.status)),
    int8Array(newest.map((row) => row.value.remaining)),
    int8Array(newest.map((row) => row.value.reversed)),
    timestamptzArray(newest.map((row) => row.expiresAtMs)),
    textArray(newest.map((row) => `{${row.value.left.join(',')}}`)),
  ];
}

export function groupParameters(writes: GroupWrites): (Buffer | bigint)[] {
  const { transactions, balances, keys, events } = writes;
  const lines = transactions.flatMap(({ merchantId, transaction }) =>
    transaction.entries.map((entry) => ({ merchantId, transaction, entry })),
  );
  return [
    int8Array(transactions.map((t) => t.merchantId)),
    int8Array(transactions.map((t) => t.transaction.id)),
    textArray(transactions.map((t) => t.transaction.kind)),
    textArray(transactions.map((t) => t.transaction.type)),
    int8Array(transactions.map((t) => t.transaction.amount)),
    textArray(transactions.map((t) => t.transaction.currency)),
    textArray(transactions.map((t) => t.transaction.externalRef)),
    timestamptzArray(transactions.map((t) => t.transaction.effectiveAtMs)),
    int8Array(transactions.map((t) => t.transaction.parentId)),
    timestamptzArray(transactions.map((t) => t.transaction.expiresAtMs)),
    textArray(transactions.map((t) => t.transaction.description)),
    textArray(transactions.map((t) => t.transaction.metadata)),
    textArray(transactions.map((t) => legsOf(t.transaction))),
    boolArray(transactions.map((t) => t.transaction.ignoredFloor)),
    int8Array(lines.map((l) => l.merchantId)),
    int8Array(lines.map((l) => l.entry.accountId)),
    int8Array(lines.map((l) => l.entry.accountVersion)),
    int8Array(lines.map((l) => l.transaction.id)),
    int2Array(lines.map((l) => (l.entry.direction === 'debit' ? 1 : -1))),
    textArray(lines.map((l) => l.entry.currency)),
    int8Array(lines.map((l) => l.entry.posted)),
    int8Array(lines.map((l) => l.entry.pending)),
    int8Array(lines.map((l) => l.entry.postedDebits)),
    int8Array(lines.map((l) => l.entry.postedCredits)),
    int8Array(lines.map((l) => l.entry.pendingDebits)),
    int8Array(lines.map((l) => l.entry.pendingCredits)),
    timestamptzArray(lines.map((l) => l.transaction.effectiveAtMs)),
    textArray(lines.map((l) => l.transaction.type)),
    int8Array(events.map((e) => e.merchantId)),
    textArray(events.map((e) => e.type)),
    int2Array(events.map((e) => e.version)),
    timestamptzArray(events.map((e) => e.occurredAtMs)),
    textArray(events.map((e) => e.traceContext)),
    textArray(events.map((e) => e.data)),
    int8Array(keys.map((k) => k.merchantId)),
    textArray(keys.map((k) => k.key)),
    byteaArray(keys.map((k) => k.requestSha256)),
    int2Array(keys.map((k) => k.status)),
    int8Array(keys.map((k) => k.transactionId)),
    textArray(keys.map((k) => k.response)),
    writes.token,
    int8Array(balances.map((b) => b.merchantId)),
    int8Array(balances.map((b) => b.accountId)),
    int8Array(balances.map((b) => b.balance.postedDebits)),
    int8Array(balances.map((b) => b.balance.postedCredits)),
    int8Array(balances.map((b) => b.balance.pendingDebits)),
    int8Array(balances.map((b) => b.balance.pendingCredits)),
    int8Array(balances.map((b) => b.balance.version)),
    int8Array(balances.map((b) => b.balance.lastTransactionId)),
    boolArray(balances.map((b) => b.balance.closed)),
  ];
}

function legsOf(transaction: Transaction): string {
  return `{${transaction.entries.map((entry) => `${entry.accountId},${entry.accountVersion}`).join(',')}}`;
}
