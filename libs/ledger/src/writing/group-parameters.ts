import { type EventRow, eventColumns } from '#outbox/log/append.js';
import { boolArray, byteaArray, int2Array, int8Array, textArray, timestamptzArray } from '#platform/binary-array.js';
import { enqueueDue, removeDue } from '#platform/due-rows.js';
import type { Query } from '#platform/postgres.js';
import type { Pieces } from '#platform/turns.js';
import type { Balance } from '../accounts/account.js';
import type { BackDatedAdjustment } from '../accounts/back-dated-adjustments.js';
import type { Transaction, TransactionState } from '../posting/transaction.js';
import type { SqlValue } from './group-extension.js';

/** What a commit group writes, as the parameters of its statements: an array a column; and its due rows. */

export interface StoredKey {
  merchantId: bigint;
  key: string;
  requestSha256: Buffer;
  status: number;
  transactionId: bigint | null;
  response: string | null;
}

export interface StateRow {
  merchantId: bigint;
  transactionId: bigint;
  expiresAtMs: number | undefined;
  value: TransactionState;
}

export type AdjustmentRow = BackDatedAdjustment & { merchantId: bigint };

export interface GroupWrites {
  /** Snowflake, unique per attempt: decides an ambiguous COMMIT. */
  token: bigint;
  transactions: { merchantId: bigint; transaction: Transaction }[];
  balances: { merchantId: bigint; accountId: bigint; balance: Balance }[];
  states: StateRow[];
  keys: StoredKey[];
  events: EventRow[];
  timers: TimerRow[];
  /** Of the extensions that have rows to write. */
  statements: { text: string; values: SqlValue[] }[];
}

/** One row per transaction: a later command of the same group overrides an earlier one. */
export function newestStates(rows: readonly StateRow[]): StateRow[] {
  return [...new Map(rows.map((row) => [`${row.merchantId}:${row.transactionId}`, row])).values()];
}

export function stateParameters(newest: readonly StateRow[]): Buffer[] {
  return [
    int8Array(newest.map((row) => row.merchantId)),
    int8Array(newest.map((row) => row.transactionId)),
    textArray(newest.map((row) => row.value.status)),
    int8Array(newest.map((row) => row.value.remaining)),
    int8Array(newest.map((row) => row.value.reversed)),
    textArray(newest.map((row) => `{${row.value.left.join(',')}}`)),
  ];
}

/** The due rows of holds: one for each that still holds something and has a time; the subject is the hold. */
export const HOLD_EXPIRY = 'hold expiry';

export interface TimerRow {
  merchantId: bigint;
  /** Of the due rows. */
  kind: string;
  subjectId: bigint;
  /** Undefined: needless. */
  dueAtMs: number | undefined;
}

/** What states say to the due rows of holds; of each transaction its last. None: no hold has a time. */
export function holdTimers(states: readonly StateRow[]): TimerRow[] {
  return states.flatMap(({ merchantId, transactionId: subjectId, expiresAtMs, value }) =>
    expiresAtMs === undefined
      ? []
      : [{ merchantId, kind: HOLD_EXPIRY, subjectId, dueAtMs: value.remaining > 0n ? expiresAtMs : undefined }],
  );
}

/** What a commit group says to the due rows; of each the last. */
export function timerQueries(timers: readonly TimerRow[]): Query[] {
  if (timers.length === 0) return [];
  const newest = new Map(timers.map((row) => [`${row.merchantId} ${row.subjectId} ${row.kind}`, row]));
  return [...Map.groupBy(newest.values(), ({ kind }) => kind)].flatMap(([kind, rows]) => {
    const open = rows.flatMap(({ dueAtMs, ...row }) => (dueAtMs === undefined ? [] : [{ ...row, dueAtMs }]));
    const ended = rows.filter(({ dueAtMs }) => dueAtMs === undefined);
    return [
      ...(open.length > 0 ? [enqueueDue(kind, open)] : []),
      ...(ended.length > 0 ? [removeDue(kind, ended)] : []),
    ];
  });
}

/** Others may have their turn after each column: a batch of 100,000 entries would keep the process for half a second. */
function* collected<T>(columns: Iterable<T>): Pieces<T[]> {
  const parameters: T[] = [];
  for (const column of columns) {
    parameters.push(column);
    yield;
  }
  return parameters;
}

export function adjustmentParameters(rows: AdjustmentRow[]): Pieces<Buffer[]> {
  return collected(adjustmentColumns(rows));
}

function* adjustmentColumns(rows: AdjustmentRow[]): Generator<Buffer> {
  yield int8Array(rows.map((row) => row.merchantId));
  yield int8Array(rows.map((row) => row.accountId));
  yield int2Array(rows.map((row) => row.level));
  yield int8Array(rows.map((row) => row.bucket));
  yield int8Array(rows.map((row) => row.postedDebits));
  yield int8Array(rows.map((row) => row.postedCredits));
  yield int8Array(rows.map((row) => row.pendingDebits));
  yield int8Array(rows.map((row) => row.pendingCredits));
  yield int8Array(rows.map((row) => row.newestVersion));
}

/** What WRITE_GROUP takes, column by column. */
export function groupParameters(writes: GroupWrites): Pieces<(Buffer | bigint)[]> {
  return collected(groupColumns(writes));
}

function* groupColumns(writes: GroupWrites): Generator<Buffer | bigint> {
  const { transactions, balances, keys, events } = writes;
  const entries = transactions.flatMap(({ merchantId, transaction }) =>
    transaction.entries.map((entry) => ({ merchantId, transaction, entry })),
  );
  yield int8Array(transactions.map((t) => t.merchantId));
  yield int8Array(transactions.map((t) => t.transaction.id));
  yield textArray(transactions.map((t) => t.transaction.kind));
  yield textArray(transactions.map((t) => t.transaction.type));
  yield int8Array(transactions.map((t) => t.transaction.amount));
  yield textArray(transactions.map((t) => t.transaction.currency));
  yield textArray(transactions.map((t) => t.transaction.externalRef));
  yield timestamptzArray(transactions.map((t) => t.transaction.effectiveAtMs));
  yield int8Array(transactions.map((t) => t.transaction.parentId));
  yield timestamptzArray(transactions.map((t) => t.transaction.expiresAtMs));
  yield textArray(transactions.map((t) => t.transaction.description));
  yield textArray(transactions.map((t) => t.transaction.metadata));
  yield textArray(transactions.map((t) => legsOf(t.transaction)));
  yield boolArray(transactions.map((t) => t.transaction.ignoredFloor));
  yield int8Array(entries.map((e) => e.merchantId));
  yield int8Array(entries.map((e) => e.entry.accountId));
  yield int8Array(entries.map((e) => e.entry.accountVersion));
  yield int8Array(entries.map((e) => e.transaction.id));
  yield int2Array(entries.map((e) => (e.entry.direction === 'debit' ? 1 : -1)));
  yield textArray(entries.map((e) => e.entry.currency));
  yield int8Array(entries.map((e) => e.entry.posted));
  yield int8Array(entries.map((e) => e.entry.pending));
  yield int8Array(entries.map((e) => e.entry.postedDebits));
  yield int8Array(entries.map((e) => e.entry.postedCredits));
  yield int8Array(entries.map((e) => e.entry.pendingDebits));
  yield int8Array(entries.map((e) => e.entry.pendingCredits));
  yield timestamptzArray(entries.map((e) => e.transaction.effectiveAtMs));
  yield textArray(entries.map((e) => e.transaction.type));
  yield* eventColumns(events);
  yield int8Array(keys.map((k) => k.merchantId));
  yield textArray(keys.map((k) => k.key));
  yield byteaArray(keys.map((k) => k.requestSha256));
  yield int2Array(keys.map((k) => k.status));
  yield int8Array(keys.map((k) => k.transactionId));
  yield textArray(keys.map((k) => k.response));
  yield writes.token;
  yield int8Array(balances.map((b) => b.merchantId));
  yield int8Array(balances.map((b) => b.accountId));
  yield int8Array(balances.map((b) => b.balance.postedDebits));
  yield int8Array(balances.map((b) => b.balance.postedCredits));
  yield int8Array(balances.map((b) => b.balance.pendingDebits));
  yield int8Array(balances.map((b) => b.balance.pendingCredits));
  yield int8Array(balances.map((b) => b.balance.version));
  yield int8Array(balances.map((b) => b.balance.lastTransactionId));
  yield boolArray(balances.map((b) => b.balance.closed));
}

function legsOf(transaction: Transaction): string {
  return `{${transaction.entries.map((entry) => `${entry.accountId},${entry.accountVersion}`).join(',')}}`;
}
