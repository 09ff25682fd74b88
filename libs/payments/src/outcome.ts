import { PAYMENT_ACCOUNTS } from './accounts.js';
import type { Fact } from './facts.js';
import type { Position } from './position.js';

/** What a fact of a new identity meant when it was added; `stale`: known already, it changes nothing. */
export type FactOutcome = 'applied' | 'stale' | 'parked' | 'rejected';

export function outcomeOf(before: Position, after: Position, { id }: Pick<Fact, 'id'>): FactOutcome {
  if (after.rejected.includes(id)) return 'rejected';
  if (after.parked.includes(id)) return 'parked';
  return isSame(before, after) ? 'stale' : 'applied';
}

const PLAIN = [
  'currency',
  'status',
  'amount',
  'amountAuthorised',
  'amountCapturable',
  'amountCaptured',
  'amountRefunded',
  'amountDisputed',
  'amountSettled',
] as const;

const LISTS = ['captures', 'refunds', 'disputes', 'settlements', 'findings'] as const;

/** Whether a payment is the same to whoever looks at it. What waits, and what was rejected, is none of it. */
function isSame(one: Position, other: Position): boolean {
  return (
    PLAIN.every((field) => one[field] === other[field]) &&
    LISTS.every((list) => isSameList(one[list], other[list])) &&
    PAYMENT_ACCOUNTS.every((account) => isSameRow(one.accounts[account], other.accounts[account]))
  );
}

function isSameList(one: readonly object[], other: readonly object[]): boolean {
  return one.length === other.length && one.every((row, index) => isSameRow(row, other[index]));
}

/** Rows of one list have the same fields, all of them plain. */
function isSameRow(one: object, other: object | undefined): boolean {
  return other !== undefined && Object.entries(one).every(([name, value]) => other[name as keyof object] === value);
}
