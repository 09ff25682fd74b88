import { MAX_AMOUNT, MAX_TOTAL } from '#kernel/money.js';
import { type FieldError, type ProblemCode } from '#kernel/problem.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { type Account, availableAmount, type Balance, isEmpty, type Side } from './account.js';
import {
  type Entry,
  entryAmount,
  hasSingleAmount,
  initialState,
  type Transaction,
  type TransactionKind,
  type TransactionState,
  type TransactionStatus,
} from './transaction.js';

/**
 * The rules of the ledger, without a database: `decide(book, command, id)` says what a command does to a book, or why it is
 * refused. It reads nothing but its arguments and changes none of them, so it can be replayed, property-tested and timed
 * alone. The writer feeds it locked rows and writes what it answers.
 */

export interface EntryRequest {
  accountId: bigint;
  direction: Side;
  /** Minor units, > 0. */
  amount: bigint;
  currency: string;
  conditions?: { minAvailable?: bigint; version?: bigint };
}

export interface Post {
  kind: 'post';
  pending: boolean;
  type: string;
  description?: string;
  externalRef?: string;
  /** Milliseconds since 1970; absent: when it is recorded. */
  effectiveAtMs?: number;
  /** Pending ones only. */
  expiresAtMs?: number;
  metadata?: string;
  entries: EntryRequest[];
}

/** Posts what is held: whole, or `amount` of a single-amount hold; `final` releases the rest. */
export interface Capture {
  kind: 'capture';
  parentId: bigint;
  amount?: bigint;
  final: boolean;
}

/** Releases what is still held. `expire` is the worker's form: it does so only once `expiresAtMs` has passed. */
export interface Release {
  kind: 'void' | 'expire';
  parentId: bigint;
}

/** Takes a posted transaction back, whole or in part, never more than once in total. */
export interface Reverse {
  kind: 'reverse';
  parentId: bigint;
  amount?: bigint;
}

export interface CloseAccount {
  kind: 'close';
  accountId: bigint;
}

export type Command = Post | Capture | Release | Reverse | CloseAccount;

/** A transaction that a command refers to, with where it stands now (undefined: it never moved). */
export interface Parent {
  transaction: Transaction;
  state: TransactionState | undefined;
}

/** What `decide` may read: one merchant's accounts, balances and referred transactions. */
export interface Book {
  account(id: bigint): Account | undefined;
  balance(id: bigint): Balance | undefined;
  parent(id: bigint): Parent | undefined;
}

export interface Accepted {
  accepted: true;
  /** Absent when an account was closed: that is no posting. */
  transaction: Transaction | undefined;
  /** The new balance of each account touched. */
  balances: ReadonlyMap<bigint, Balance>;
  /** Where the parent (or the new pending transaction itself) now stands. */
  state: { transactionId: bigint; expiresAtMs: number | undefined; value: TransactionState } | undefined;
}

export interface Refused {
  accepted: false;
  code: ProblemCode;
  detail: string;
  errors: FieldError[] | undefined;
}

export type Decision = Accepted | Refused;

/** `id` becomes the transaction's id and must be greater than `lastTransactionId` of every account it touches. */
export function decide(book: Book, command: Command, id: bigint): Decision {
  switch (command.kind) {
    case 'post':
      return decidePost(book, command, id);
    case 'capture':
      return decideCapture(book, command, id);
    case 'void':
    case 'expire':
      return decideRelease(book, command, id);
    case 'reverse':
      return decideReverse(book, command, id);
    case 'close':
      return decideClose(book, command);
  }
}

function refuse(code: ProblemCode, detail: string, path?: string): Refused {
  return { accepted: false, code, detail, errors: path === undefined ? undefined : [{ path, message: detail }] };
}

function decidePost(book: Book, command: Post, id: bigint): Decision {
  const unbalanced = findUnbalanced(command.entries);
  if (unbalanced) return unbalanced;
  const lines: Line[] = command.entries.map((entry) => ({
    accountId: entry.accountId,
    direction: entry.direction,
    currency: entry.currency,
    posted: command.pending ? 0n : entry.amount,
    pending: command.pending ? entry.amount : 0n,
  }));
  const applied = applyLines(book, lines, id, true);
  if ('accepted' in applied) return applied;
  const broken = findBrokenCondition(book, command.entries, applied.balances);
  if (broken) return broken;
  const transaction: Transaction = {
    id,
    kind: command.pending ? 'pending' : 'posted',
    type: command.type,
    ...totalOf(applied.entries),
    description: command.description,
    externalRef: command.externalRef,
    effectiveAtMs: command.effectiveAtMs ?? snowflakeTimeMs(id),
    expiresAtMs: command.expiresAtMs,
    parentId: undefined,
    metadata: command.metadata,
    entries: applied.entries,
  };
  const state = command.pending
    ? { transactionId: id, expiresAtMs: command.expiresAtMs, value: initialState(transaction) }
    : undefined;
  return { accepted: true, transaction, balances: applied.balances, state };
}

function decideCapture(book: Book, command: Capture, id: bigint): Decision {
  const parent = book.parent(command.parentId);
  if (!parent) return refuse('not_found', 'There is no such transaction.');
  const { transaction } = parent;
  const state = parent.state ?? initialState(transaction);
  if (state.remaining === 0n) return notPending(transaction, state);
  if (transaction.expiresAtMs !== undefined && transaction.expiresAtMs <= snowflakeTimeMs(id)) {
    return refuse(
      'not_pending',
      `Transaction ${transaction.id} expired at ${new Date(transaction.expiresAtMs).toISOString()}.`,
    );
  }
  if (command.amount !== undefined && !hasSingleAmount(transaction)) {
    return refuse(
      'validation_failed',
      'amount: this transaction has several amounts and can only be posted whole',
      'amount',
    );
  }
  const amount = command.amount ?? state.remaining;
  if (amount > state.remaining) {
    return refuse(
      'amount_exceeds_remaining',
      `${amount} exceeds the ${state.remaining} that transaction ${transaction.id} still holds.`,
    );
  }
  const remaining = command.amount === undefined || command.final ? 0n : state.remaining - amount;
  const released = state.remaining - remaining;
  const single = hasSingleAmount(transaction);
  const lines = transaction.entries.map((entry) => ({
    accountId: entry.accountId,
    direction: entry.direction,
    currency: entry.currency,
    posted: single ? amount : entry.pending,
    pending: single ? -released : -entry.pending,
  }));
  const status = remaining === 0n ? 'posted' : 'partially_posted';
  return moveParent(book, { parent, state, kind: 'capture', type: transaction.type, lines, id, status, remaining });
}

function decideRelease(book: Book, command: Release, id: bigint): Decision {
  const parent = book.parent(command.parentId);
  if (!parent) return refuse('not_found', 'There is no such transaction.');
  const { transaction } = parent;
  const state = parent.state ?? initialState(transaction);
  if (state.remaining === 0n) return notPending(transaction, state);
  const expiry = command.kind === 'expire';
  if (expiry && (transaction.expiresAtMs === undefined || transaction.expiresAtMs > snowflakeTimeMs(id))) {
    return refuse('invalid_transition', `Transaction ${transaction.id} has not expired.`);
  }
  const single = hasSingleAmount(transaction);
  const lines = transaction.entries.map((entry) => ({
    accountId: entry.accountId,
    direction: entry.direction,
    currency: entry.currency,
    posted: 0n,
    pending: single ? -state.remaining : -entry.pending,
  }));
  const [kind, status] = expiry ? (['expiry', 'expired'] as const) : (['void', 'voided'] as const);
  return moveParent(book, { parent, state, kind, type: kind, lines, id, status, remaining: 0n });
}

function decideReverse(book: Book, command: Reverse, id: bigint): Decision {
  const parent = book.parent(command.parentId);
  if (!parent) return refuse('not_found', 'There is no such transaction.');
  const { transaction } = parent;
  if (transaction.kind === 'pending') {
    const advice = 'void what it holds, or reverse the transactions that posted it';
    return refuse(
      'invalid_transition',
      `Transaction ${transaction.id} is a hold and was not itself posted: ${advice}.`,
    );
  }
  if (transaction.kind === 'void' || transaction.kind === 'expiry') {
    return refuse(
      'invalid_transition',
      `Transaction ${transaction.id} only released a hold: there is nothing to reverse.`,
    );
  }
  const state = parent.state ?? initialState(transaction);
  const left = transaction.amount - state.reversed;
  if (left === 0n) return refuse('already_reversed', `Transaction ${transaction.id} has already been reversed.`);
  const single = hasSingleAmount(transaction);
  if (command.amount !== undefined && !single) {
    return refuse(
      'validation_failed',
      'amount: this transaction has several amounts and can only be reversed whole',
      'amount',
    );
  }
  const amount = command.amount ?? left;
  if (amount > left) {
    return refuse(
      'amount_exceeds_remaining',
      `${amount} exceeds the ${left} of transaction ${transaction.id} that is not reversed yet.`,
    );
  }
  const lines = transaction.entries.map((entry) => ({
    accountId: entry.accountId,
    direction: entry.direction === 'debit' ? ('credit' as const) : ('debit' as const),
    currency: entry.currency,
    posted: single ? amount : entry.posted,
    pending: 0n,
  }));
  return moveParent(book, {
    parent,
    state: { ...state, reversed: state.reversed + amount },
    kind: 'reversal',
    type: 'reversal',
    lines,
    id,
    status: state.status,
    remaining: state.remaining,
  });
}

function decideClose(book: Book, command: CloseAccount): Decision {
  const balance = book.balance(command.accountId);
  if (!balance) return refuse('not_found', 'There is no such account.');
  if (balance.closed) return refuse('invalid_transition', `Account ${command.accountId} is already closed.`);
  if (!isEmpty(balance)) {
    return refuse(
      'invalid_transition',
      `Account ${command.accountId} is not empty: only an account without balance or holds closes.`,
    );
  }
  const balances = new Map([[command.accountId, { ...balance, closed: true }]]);
  return { accepted: true, transaction: undefined, balances, state: undefined };
}

function notPending(transaction: Transaction, state: TransactionState): Refused {
  return refuse('not_pending', `Transaction ${transaction.id} is ${state.status}.`);
}

interface Move {
  parent: Parent;
  /** The parent's state, already carrying what the move changes besides status and remaining. */
  state: TransactionState;
  kind: TransactionKind;
  type: string;
  lines: Line[];
  id: bigint;
  status: TransactionStatus;
  remaining: bigint;
}

function moveParent(book: Book, move: Move): Decision {
  const parent = move.parent.transaction;
  const applied = applyLines(book, move.lines, move.id, move.kind === 'reversal');
  if ('accepted' in applied) return applied;
  const transaction: Transaction = {
    id: move.id,
    kind: move.kind,
    type: move.type,
    ...totalOf(applied.entries),
    description: undefined,
    externalRef: undefined,
    effectiveAtMs: snowflakeTimeMs(move.id),
    expiresAtMs: undefined,
    parentId: parent.id,
    metadata: undefined,
    entries: applied.entries,
  };
  const value = { ...move.state, status: move.status, remaining: move.remaining };
  const state = { transactionId: parent.id, expiresAtMs: parent.expiresAtMs, value };
  return { accepted: true, transaction, balances: applied.balances, state };
}

interface Line {
  accountId: bigint;
  direction: Side;
  currency: string;
  posted: bigint;
  pending: bigint;
}

/** Applies the lines in order. `checkFloors`: captures and releases never lower `available` and always go through. */
function applyLines(
  book: Book,
  lines: readonly Line[],
  id: bigint,
  checkFloors: boolean,
): { entries: Entry[]; balances: Map<bigint, Balance> } | Refused {
  const balances = new Map<bigint, Balance>();
  const entries: Entry[] = [];
  for (const [index, line] of lines.entries()) {
    const account = book.account(line.accountId);
    const before = balances.get(line.accountId) ?? book.balance(line.accountId);
    if (!account || !before)
      return refuse('not_found', `entries.${index}: there is no such account.`, `entries.${index}`);
    if (account.currency !== line.currency) {
      return refuse(
        'currency_mismatch',
        `entries.${index}: account ${account.code} is in ${account.currency}, not ${line.currency}.`,
        `entries.${index}.currency`,
      );
    }
    if (before.closed) {
      return refuse('account_closed', `entries.${index}: account ${account.code} is closed.`, `entries.${index}`);
    }
    const after = addLine(before, line, id);
    if (line.posted > MAX_AMOUNT || line.pending > MAX_AMOUNT) {
      return refuse(
        'amount_out_of_range',
        `entries.${index}: the amount for account ${account.code} is above ${MAX_AMOUNT}.`,
        `entries.${index}.amount`,
      );
    }
    if (
      after[line.direction === 'debit' ? 'postedDebits' : 'postedCredits'] > MAX_TOTAL ||
      after[line.direction === 'debit' ? 'pendingDebits' : 'pendingCredits'] > MAX_TOTAL
    ) {
      return refuse(
        'amount_out_of_range',
        `entries.${index}: the ${line.direction}s of account ${account.code} would rise above ${MAX_TOTAL}.`,
        `entries.${index}.amount`,
      );
    }
    balances.set(line.accountId, after);
    entries.push({
      accountId: line.accountId,
      accountVersion: after.version,
      direction: line.direction,
      currency: line.currency,
      posted: line.posted,
      pending: line.pending,
      postedDebits: after.postedDebits,
      postedCredits: after.postedCredits,
      pendingDebits: after.pendingDebits,
      pendingCredits: after.pendingCredits,
    });
  }
  return (checkFloors && findOverdrawn(book, lines, balances)) || { entries, balances };
}

function addLine(before: Balance, line: Line, id: bigint): Balance {
  const debit = line.direction === 'debit';
  return {
    postedDebits: debit ? before.postedDebits + line.posted : before.postedDebits,
    postedCredits: debit ? before.postedCredits : before.postedCredits + line.posted,
    pendingDebits: debit ? before.pendingDebits + line.pending : before.pendingDebits,
    pendingCredits: debit ? before.pendingCredits : before.pendingCredits + line.pending,
    version: before.version + 1n,
    lastTransactionId: id,
    closed: before.closed,
  };
}

/** A floor binds whoever lowers `available`; money may always come in. */
function findOverdrawn(
  book: Book,
  lines: readonly Line[],
  balances: ReadonlyMap<bigint, Balance>,
): Refused | undefined {
  for (const [accountId, after] of balances) {
    const account = book.account(accountId);
    const before = book.balance(accountId);
    if (!account || !before || account.minAvailable === null) continue;
    const available = availableAmount(account.normalSide, after);
    if (available >= account.minAvailable || available >= availableAmount(account.normalSide, before)) continue;
    const index = lines.findIndex((line) => line.accountId === accountId && line.direction !== account.normalSide);
    return refuse(
      'insufficient_funds',
      `entries.${index}: the available balance of account ${account.code} would be ${available}, below its floor of ${account.minAvailable}.`,
      `entries.${index}`,
    );
  }
  return undefined;
}

/** `version` speaks of the account before the transaction, `min_available` of it afterwards. */
function findBrokenCondition(
  book: Book,
  entries: readonly EntryRequest[],
  balances: ReadonlyMap<bigint, Balance>,
): Refused | undefined {
  for (const [index, entry] of entries.entries()) {
    const { conditions } = entry;
    if (!conditions) continue;
    const account = book.account(entry.accountId);
    const before = book.balance(entry.accountId);
    const after = balances.get(entry.accountId);
    if (!account || !before || !after) throw new Error(`applied entry ${index} has no account or balance`);
    if (conditions.version !== undefined && conditions.version !== before.version) {
      return refuse(
        'condition_failed',
        `entries.${index}: account ${account.code} is at version ${before.version}, not ${conditions.version}.`,
        `entries.${index}.conditions.version`,
      );
    }
    const available = availableAmount(account.normalSide, after);
    if (conditions.minAvailable !== undefined && available < conditions.minAvailable) {
      return refuse(
        'condition_failed',
        `entries.${index}: the available balance of account ${account.code} would be ${available}, below ${conditions.minAvailable}.`,
        `entries.${index}.conditions.min_available`,
      );
    }
  }
  return undefined;
}

function findUnbalanced(entries: readonly EntryRequest[]): Refused | undefined {
  const sums = new Map<string, bigint>();
  for (const entry of entries) {
    const signed = entry.direction === 'debit' ? entry.amount : -entry.amount;
    sums.set(entry.currency, (sums.get(entry.currency) ?? 0n) + signed);
  }
  for (const [currency, sum] of sums) {
    if (sum !== 0n) {
      const [more, by] = sum > 0n ? ['debits', sum] : ['credits', -sum];
      return refuse(
        'unbalanced_entries',
        `entries: the ${more} in ${currency} are ${by} more than the other side.`,
        'entries',
      );
    }
  }
  return undefined;
}

function totalOf(entries: readonly Entry[]): { amount: bigint; currency: string } {
  const currency = entries[0]?.currency ?? '';
  let amount = 0n;
  for (const entry of entries) {
    if (entry.direction === 'debit' && entry.currency === currency) amount += entryAmount(entry);
  }
  return { amount, currency };
}
