import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Side } from '../accounts/account.js';
import { decideAdjust } from './adjust.js';
import {
  type Book,
  type CaptureHold,
  type Command,
  type Decision,
  type Facts,
  MAX_REVERSAL_DEPTH,
  type NewEntry,
  type Parent,
  type Post,
  type Refused,
  type Reverse,
  type StateChange,
  type TransactionChange,
  type VoidHold,
} from './command.js';
import { applyEntries, findBrokenCondition, findUnbalanced, refuse, totalOf } from './entries.js';
import { type EntryPart, shifted, takenOf } from './parts.js';
import {
  initialState,
  stateOf,
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
    case 'adjust':
      return decideAdjust(book, command, id);
    case 'capture':
      return decideCapture(book, command, id);
    case 'void':
    case 'expire':
      return decideVoid(book, command, id);
    case 'reverse':
      return decideReverse(book, command, id);
  }
}

function decidePost(book: Book, command: Post, id: bigint): Decision {
  // Here, behind the look-up of its key: a hold that is sent again when its time is over is told what it was told before.
  if (command.expiresAtMs !== undefined && command.expiresAtMs <= snowflakeTimeMs(id)) {
    return refuse('validation_failed', 'expires_at: must lie in the future', 'expires_at');
  }
  const unbalanced = findUnbalanced(command.entries);
  if (unbalanced) return unbalanced;
  const entries: NewEntry[] = command.entries.map((entry) => ({
    accountId: entry.accountId,
    direction: entry.direction,
    currency: entry.currency,
    posted: command.pending ? 0n : entry.amount,
    pending: command.pending ? entry.amount : 0n,
  }));
  const applied = applyEntries(book, entries, id, !command.ignoreFloor);
  if ('accepted' in applied) return applied;
  const broken = findBrokenCondition(book, command.entries, applied.balances);
  if (broken) return broken;
  const transaction: Transaction = {
    id,
    kind: command.pending ? 'pending' : 'posted',
    type: command.type,
    ...totalOf(command.pending ? 'pending' : 'posted', applied.entries),
    description: command.description,
    externalRef: command.externalRef,
    effectiveAtMs: command.effectiveAtMs ?? snowflakeTimeMs(id),
    expiresAtMs: command.expiresAtMs,
    parentId: undefined,
    metadata: command.metadata,
    ignoredFloor: command.ignoreFloor ?? false,
    entries: applied.entries,
  };
  const held = { transactionId: id, expiresAtMs: command.expiresAtMs, value: initialState(transaction) };
  return { accepted: true, transaction, balances: applied.balances, states: command.pending ? [held] : [] };
}

/** The payment, settlement or payout that an adjustment is of would not know of what became of it here. */
function movableParent(book: Book, { parentId }: TransactionChange): Parent | Refused {
  const parent = book.parent(parentId);
  if (!parent) return refuse('not_found', 'There is no such transaction.');
  if (parent.transaction.kind === 'adjustment') {
    const whose = `(${parent.transaction.type}) belongs to a payment, a settlement or a payout`;
    return refuse('invalid_transition', `Transaction ${parentId} ${whose}, and changes by way of that alone.`);
  }
  return parent;
}

function decideCapture(book: Book, command: CaptureHold, id: bigint): Decision {
  const parent = movableParent(book, command);
  if ('accepted' in parent) return parent;
  const { transaction } = parent;
  const state = parent.state ?? initialState(transaction);
  if (state.remaining === 0n) return notPending(transaction, state);
  if (transaction.expiresAtMs !== undefined && transaction.expiresAtMs <= snowflakeTimeMs(id)) {
    return refuse(
      'not_pending',
      `Transaction ${transaction.id} expired at ${new Date(transaction.expiresAtMs).toISOString()}.`,
    );
  }
  const taken = takenOf(book, transaction, state.left, { ...command, verb: 'posted' });
  if ('accepted' in taken) return taken;
  const left = state.left.map((amount, place) => (command.final ? 0n : amount - (taken[place] ?? 0n)));
  const entries = transaction.entries.map((entry, place) => ({
    accountId: entry.accountId,
    direction: entry.direction,
    currency: entry.currency,
    posted: taken[place] ?? 0n,
    pending: (left[place] ?? 0n) - (state.left[place] ?? 0n),
  }));
  const status = left.some((amount) => amount > 0n) ? 'partially_posted' : 'posted';
  const states = [stateChange(transaction, status, left)];
  return changeParent(book, { parent, kind: 'capture', type: transaction.type, facts: command, entries, id, states });
}

function decideVoid(book: Book, command: VoidHold, id: bigint): Decision {
  const parent = movableParent(book, command);
  if ('accepted' in parent) return parent;
  const { transaction } = parent;
  const state = parent.state ?? initialState(transaction);
  if (state.remaining === 0n) return notPending(transaction, state);
  const expiry = command.kind === 'expire';
  if (expiry && (transaction.expiresAtMs === undefined || transaction.expiresAtMs > snowflakeTimeMs(id))) {
    return refuse('invalid_transition', `Transaction ${transaction.id} has not expired.`);
  }
  const entries = transaction.entries.map((entry, place) => ({
    accountId: entry.accountId,
    direction: entry.direction,
    currency: entry.currency,
    posted: 0n,
    pending: -(state.left[place] ?? 0n),
  }));
  const [kind, status] = expiry ? (['expiry', 'expired'] as const) : (['void', 'voided'] as const);
  const states = [
    stateChange(
      transaction,
      status,
      state.left.map(() => 0n),
    ),
  ];
  return changeParent(book, { parent, kind, type: kind, facts: command, entries, id, states });
}

function decideReverse(book: Book, command: Reverse, id: bigint): Decision {
  const parent = movableParent(book, command);
  if ('accepted' in parent) return parent;
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
  if (state.left.every((amount) => amount === 0n)) {
    return refuse('already_reversed', `Transaction ${transaction.id} has already been reversed.`);
  }
  const taken = takenOf(book, transaction, state.left, { ...command, verb: 'reversed' });
  if ('accepted' in taken) return taken;
  const entries = transaction.entries.map((entry, place) => ({
    accountId: entry.accountId,
    direction: otherSide(entry.direction),
    currency: entry.currency,
    posted: taken[place] ?? 0n,
    pending: 0n,
  }));
  const above = statesAbove(book, transaction, taken);
  if ('accepted' in above) return above;
  const left = state.left.map((amount, place) => amount - (taken[place] ?? 0n));
  return changeParent(book, {
    parent,
    kind: 'reversal',
    type: 'reversal',
    facts: command,
    entries,
    id,
    states: [stateChange(transaction, state.status, left), ...above],
    ignoredFloor: command.ignoreFloor,
  });
}

/**
 * Whoever reverses a reversal gives its amount back to the transaction that it had reversed; was that a reversal itself, its
 * own parent has that much less left; and so on to the first. So no transaction is ever taken back by more than it moved.
 */
function statesAbove(book: Book, reversed: Transaction, taken: readonly bigint[]): StateChange[] | Refused {
  const states: StateChange[] = [];
  let parts = reversed.entries.map((entry, place): EntryPart => ({ ...entry, amount: taken[place] ?? 0n }));
  for (let child = reversed; child.kind === 'reversal'; ) {
    if (states.length === MAX_REVERSAL_DEPTH) {
      return refuse('invalid_transition', `More than ${MAX_REVERSAL_DEPTH} reversals of reversals are not taken.`);
    }
    const parent = child.parentId === undefined ? undefined : book.parent(child.parentId);
    if (!parent) throw new Error(`the parent of reversal ${child.id} is not at hand`);
    const { transaction } = parent;
    const state = parent.state ?? initialState(transaction);
    const way = states.length % 2 === 0 ? 'give back' : 'take';
    parts = parts.map((part) => ({ ...part, direction: otherSide(part.direction) }));
    const left = shifted(transaction, state.left, parts, way);
    if (!left && way === 'give back') throw new Error(`transaction ${transaction.id} was not reversed by as much`);
    if (!left) {
      return refuse(
        'amount_exceeds_remaining',
        `What came back to transaction ${transaction.id} has been reversed otherwise: it has not as much left.`,
      );
    }
    states.push(stateChange(transaction, state.status, left));
    child = transaction;
  }
  return states;
}

function stateChange(transaction: Transaction, status: TransactionStatus, left: readonly bigint[]): StateChange {
  const { id: transactionId, expiresAtMs } = transaction;
  return { transactionId, expiresAtMs, value: stateOf(transaction, status, left) };
}

function otherSide(side: Side): Side {
  return side === 'debit' ? 'credit' : 'debit';
}

function notPending(transaction: Transaction, state: TransactionState): Refused {
  return refuse('not_pending', `Transaction ${transaction.id} is ${state.status}.`);
}

interface ParentChange {
  parent: Parent;
  kind: TransactionKind;
  type: string;
  facts: Facts;
  /** One for each entry of the parent; those that change nothing are left out. */
  entries: NewEntry[];
  id: bigint;
  states: StateChange[];
  ignoredFloor?: boolean;
}

function changeParent(book: Book, change: ParentChange): Decision {
  const parent = change.parent.transaction;
  const { facts } = change;
  const effectiveAtMs = facts.effectiveAtMs ?? Math.max(snowflakeTimeMs(change.id), parent.effectiveAtMs);
  if (effectiveAtMs < parent.effectiveAtMs) {
    const earliest = new Date(parent.effectiveAtMs).toISOString();
    return refuse(
      'validation_failed',
      `effective_at: transaction ${parent.id} is effective from ${earliest} on, and nothing moves it before that.`,
      'effective_at',
    );
  }
  const ignoredFloor = change.ignoredFloor ?? false;
  const entries = change.entries.filter((entry) => entry.posted !== 0n || entry.pending !== 0n);
  const applied = applyEntries(book, entries, change.id, change.kind === 'reversal' && !ignoredFloor);
  if ('accepted' in applied) return applied;
  const transaction: Transaction = {
    id: change.id,
    kind: change.kind,
    type: change.type,
    ...totalOf(change.kind, applied.entries),
    description: facts.description,
    externalRef: facts.externalRef,
    effectiveAtMs,
    expiresAtMs: undefined,
    parentId: parent.id,
    metadata: facts.metadata,
    ignoredFloor,
    entries: applied.entries,
  };
  return { accepted: true, transaction, balances: applied.balances, states: change.states };
}
