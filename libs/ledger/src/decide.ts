import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { isEmpty } from './account.js';
import type {
  Book,
  Capture,
  CloseAccount,
  Command,
  Decision,
  Facts,
  Parent,
  Post,
  Refused,
  Release,
  ReopenAccount,
  Reverse,
} from './command.js';
import { applyLines, findBrokenCondition, findUnbalanced, type Line, refuse, totalOf } from './lines.js';
import {
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
    case 'reopen':
      return decideReopen(book, command);
  }
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
  const applied = applyLines(book, lines, id, !command.ignoreFloor);
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
    ignoredFloor: command.ignoreFloor ?? false,
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
  return moveParent(book, {
    parent,
    state,
    kind: 'capture',
    type: transaction.type,
    facts: command,
    lines,
    id,
    status,
    remaining,
  });
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
  return moveParent(book, { parent, state, kind, type: kind, facts: command, lines, id, status, remaining: 0n });
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
    facts: command,
    lines,
    id,
    status: state.status,
    remaining: state.remaining,
    ignoredFloor: command.ignoreFloor,
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

/** Of an account that is open nothing changes: reopening twice is reopening once. */
function decideReopen(book: Book, command: ReopenAccount): Decision {
  const balance = book.balance(command.accountId);
  if (!balance) return refuse('not_found', 'There is no such account.');
  const balances = new Map(balance.closed ? [[command.accountId, { ...balance, closed: false }]] : []);
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
  facts: Facts;
  lines: Line[];
  id: bigint;
  status: TransactionStatus;
  remaining: bigint;
  ignoredFloor?: boolean;
}

function moveParent(book: Book, move: Move): Decision {
  const parent = move.parent.transaction;
  const { facts } = move;
  const effectiveAtMs = facts.effectiveAtMs ?? Math.max(snowflakeTimeMs(move.id), parent.effectiveAtMs);
  if (effectiveAtMs < parent.effectiveAtMs) {
    const earliest = new Date(parent.effectiveAtMs).toISOString();
    return refuse(
      'validation_failed',
      `effective_at: transaction ${parent.id} is effective from ${earliest} on, and nothing moves it before that.`,
      'effective_at',
    );
  }
  const ignoredFloor = move.ignoredFloor ?? false;
  const applied = applyLines(book, move.lines, move.id, move.kind === 'reversal' && !ignoredFloor);
  if ('accepted' in applied) return applied;
  const transaction: Transaction = {
    id: move.id,
    kind: move.kind,
    type: move.type,
    ...totalOf(applied.entries),
    description: facts.description,
    externalRef: facts.externalRef,
    effectiveAtMs,
    expiresAtMs: undefined,
    parentId: parent.id,
    metadata: facts.metadata,
    ignoredFloor,
    entries: applied.entries,
  };
  const value = { ...move.state, status: move.status, remaining: move.remaining };
  const state = { transactionId: parent.id, expiresAtMs: parent.expiresAtMs, value };
  return { accepted: true, transaction, balances: applied.balances, state };
}
