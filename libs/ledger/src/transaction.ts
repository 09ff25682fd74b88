import type { Side, Totals } from './account.js';

/**
 * What a transaction does. `posted` and `pending` come from a client; the others move a parent: `capture` posts (part of) a
 * pending one, `void` and `expiry` release what remains of it, `reversal` takes (part of) a posted one back.
 */
export type TransactionKind = 'posted' | 'pending' | 'capture' | 'void' | 'expiry' | 'reversal';

export type TransactionStatus = 'posted' | 'pending' | 'partially_posted' | 'voided' | 'expired';

/** One line of a transaction with the account's totals after it. Minor units. Never changes once written. */
export interface Entry extends Totals {
  readonly accountId: bigint;
  readonly accountVersion: bigint;
  readonly direction: Side;
  readonly currency: string;
  /** Added to the posted total of the entry's side. */
  readonly posted: bigint;
  /** Added to the pending total of the entry's side; negative where a hold is released. */
  readonly pending: bigint;
}

/** A transaction as written; nothing of it ever changes. Times in milliseconds since 1970. */
export interface Transaction {
  readonly id: bigint;
  readonly kind: TransactionKind;
  readonly type: string;
  /** Sum of the debits in `currency`, the currency of the first entry. */
  readonly amount: bigint;
  readonly currency: string;
  readonly description: string | undefined;
  readonly externalRef: string | undefined;
  readonly effectiveAtMs: number;
  readonly expiresAtMs: number | undefined;
  readonly parentId: bigint | undefined;
  /** JSON text. */
  readonly metadata: string | undefined;
  /** Whether it was posted without regard to floors. */
  readonly ignoredFloor: boolean;
  readonly entries: readonly Entry[];
}

/** Where a transaction that can still move stands. */
export interface TransactionState {
  readonly status: TransactionStatus;
  /** Minor units still held; 0 once it is no longer pending. For holds of several amounts: their first entry's. */
  readonly remaining: bigint;
  /** Minor units already given back by reversals. */
  readonly reversed: bigint;
}

/** The status that a transaction is born with. */
export function initialStatus(kind: TransactionKind): TransactionStatus {
  return kind === 'pending' ? 'pending' : 'posted';
}

export function initialState(transaction: Transaction): TransactionState {
  const pending = transaction.kind === 'pending';
  return { status: initialStatus(transaction.kind), remaining: pending ? transaction.amount : 0n, reversed: 0n };
}

/** The amount that a client sees on an entry: what was posted, else what was held or released. */
export function entryAmount(entry: Entry): bigint {
  if (entry.posted > 0n) return entry.posted;
  return entry.pending < 0n ? -entry.pending : entry.pending;
}

/** One amount from one debit to one credit: only such a transaction can be captured or reversed in part. */
export function hasSingleAmount(transaction: Transaction): boolean {
  const [first, second] = transaction.entries;
  return (
    transaction.entries.length === 2 &&
    first !== undefined &&
    second !== undefined &&
    first.direction !== second.direction &&
    entryAmount(first) === entryAmount(second)
  );
}
