import type { Side, Totals } from '../accounts/account.js';

/**
 * What a transaction does. `posted` and `pending` come from a client; the others change a parent: `capture` posts (part of) a
 * pending one, `void` and `expiry` release what remains of it, `reversal` takes (part of) a posted one back.
 * An `adjustment` is what a payment's position moved by; it has no parent and becomes none.
 */
export type TransactionKind = 'posted' | 'pending' | 'capture' | 'void' | 'expiry' | 'reversal' | 'adjustment';

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
  /** Sum of the debits in `currency`, the currency of the first entry. Of an adjustment see `adjustedTotal`. */
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

/** Where a transaction that can still change stands. Minor units. */
export interface TransactionState {
  readonly status: TransactionStatus;
  /** Of each entry, in their order: what a hold still holds, or what of money that moved is not reversed. */
  readonly left: readonly bigint[];
  /** Of all debits: what is still held; 0 once it is no longer pending. */
  readonly remaining: bigint;
  /** Of all debits: what is reversed. */
  readonly reversed: bigint;
}

/** The status that a transaction is born with. */
export function initialStatus(kind: TransactionKind): TransactionStatus {
  return kind === 'pending' ? 'pending' : 'posted';
}

export function initialState(transaction: Transaction): TransactionState {
  return stateOf(transaction, initialStatus(transaction.kind), movableAmounts(transaction));
}

export function stateOf(
  transaction: Transaction,
  status: TransactionStatus,
  left: readonly bigint[],
): TransactionState {
  const isHold = transaction.kind === 'pending';
  const total = debitsOf(transaction, left);
  const reversed = isHold ? 0n : debitsOf(transaction, movableAmounts(transaction)) - total;
  return { status, left, remaining: isHold ? total : 0n, reversed };
}

/** What a client is shown of a state: its debits in the currency of the first entry, as in `amount`. */
export function shownAmounts(transaction: Transaction, { left }: TransactionState) {
  const amount = debitsOf(transaction, left, transaction.currency);
  if (transaction.kind === 'pending') return { remaining: amount, reversed: 0n };
  return { remaining: 0n, reversed: debitsOf(transaction, movableAmounts(transaction), transaction.currency) - amount };
}

/** What can be captured or reversed of each entry. Of a release nothing: it moved no money. Of an adjustment neither: its payment's facts do. */
function movableAmounts({ kind, entries }: Transaction): bigint[] {
  const isFinal = kind === 'void' || kind === 'expiry' || kind === 'adjustment';
  return entries.map((entry) => (isFinal ? 0n : entryAmount(kind, entry)));
}

function debitsOf({ entries }: Transaction, amounts: readonly bigint[], currency?: string): bigint {
  let sum = 0n;
  for (const [place, entry] of entries.entries()) {
    if (entry.direction !== 'debit' || (currency !== undefined && entry.currency !== currency)) continue;
    sum += amounts[place] ?? 0n;
  }
  return sum;
}

/** The amount that a client sees on an entry: what was posted, else what was held or released. */
export function entryAmount(kind: TransactionKind, entry: Entry): bigint {
  // An entry of which a final capture took nothing only releases.
  if (kind === 'capture' || entry.posted > 0n) return entry.posted;
  return entry.pending < 0n ? -entry.pending : entry.pending;
}

/** One amount from one debit to one credit: a part of it needs no entries to be told. */
export function hasSingleAmount({ kind, entries }: Transaction): boolean {
  const [first, second] = entries;
  return (
    entries.length === 2 &&
    first !== undefined &&
    second !== undefined &&
    first.direction !== second.direction &&
    entryAmount(kind, first) === entryAmount(kind, second)
  );
}
