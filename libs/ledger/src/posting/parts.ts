import type { Side } from '../accounts/account.js';
import type { Book, Part, Refused } from './command.js';
import { findUnbalanced, refuse } from './entries.js';
import { entryAmount, hasSingleAmount, type Transaction } from './transaction.js';

/** Which part of its parent's entries a capture or a reversal takes. Amounts in minor units, in the order of the entries. */

/** What a part of an entry is: `direction` is the side on which the transaction has it. */
export interface EntryPart {
  accountId: bigint;
  direction: Side;
  amount: bigint;
}

const REST = {
  posted: (id: bigint): string => `that transaction ${id} still holds`,
  reversed: (id: bigint): string => `of transaction ${id} that is not reversed yet`,
};

/** All that is left, or the one amount of a transaction that has but one, or what is named account by account. */
export function takenOf(
  book: Book,
  transaction: Transaction,
  left: readonly bigint[],
  asked: { amount?: bigint; entries?: readonly Part[]; verb: 'posted' | 'reversed' },
): bigint[] | Refused {
  if (asked.entries) return takenByAccount(book, transaction, left, asked.entries, asked.verb);
  const { amount } = asked;
  if (amount === undefined) return [...left];
  if (!hasSingleAmount(transaction)) {
    const advice = `name what is to be ${asked.verb} of each account in entries`;
    return refuse('validation_failed', `amount: this transaction has several amounts: ${advice}`, 'amount');
  }
  const most = left[0] ?? 0n;
  if (amount > most) {
    return refuse('amount_exceeds_remaining', `${amount} exceeds the ${most} ${REST[asked.verb](transaction.id)}.`);
  }
  return left.map(() => amount);
}

/**
 * Several entries of one account on the same side are one amount, taken from them in their order. An account that stands on
 * both sides cannot be named: which of the two is meant?
 */
function takenByAccount(
  book: Book,
  transaction: Transaction,
  left: readonly bigint[],
  parts: readonly Part[],
  verb: 'posted' | 'reversed',
): bigint[] | Refused {
  let rest: readonly bigint[] = left;
  const seen = new Set<bigint>();
  for (const [index, { accountId, amount }] of parts.entries()) {
    const path = `entries.${index}`;
    const fault = (message: string): Refused =>
      refuse('validation_failed', `${path}.account_id: ${message}`, `${path}.account_id`);
    const own = transaction.entries.flatMap((entry, place) =>
      entry.accountId === accountId ? [{ direction: entry.direction, left: left[place] ?? 0n }] : [],
    );
    const [first] = own;
    if (!first) return fault(`transaction ${transaction.id} has no entry on this account`);
    if (seen.has(accountId)) return fault('is named twice');
    seen.add(accountId);
    if (own.some(({ direction }) => direction !== first.direction)) {
      return fault(`stands on both sides of transaction ${transaction.id}, which can only be ${verb} whole`);
    }
    const after = shifted(transaction, rest, [{ accountId, direction: first.direction, amount }], 'take');
    if (!after) {
      const most = own.reduce((sum, entry) => sum + entry.left, 0n);
      const account = book.account(accountId)?.code ?? accountId;
      return refuse(
        'amount_exceeds_remaining',
        `${path}: ${amount} exceeds the ${most} on account ${account} ${REST[verb](transaction.id)}.`,
        `${path}.amount`,
      );
    }
    rest = after;
  }
  const taken = left.map((amount, place) => amount - (rest[place] ?? 0n));
  const unbalanced = findUnbalanced(transaction.entries.map((entry, i) => ({ ...entry, amount: taken[i] ?? 0n })));
  return unbalanced ?? taken;
}

/**
 * What is left of each entry once parts are taken from it or given back. Undefined: an account has not as much to take, or was
 * not reversed by as much.
 */
export function shifted(
  transaction: Transaction,
  left: readonly bigint[],
  parts: readonly EntryPart[],
  way: 'take' | 'give back',
): bigint[] | undefined {
  const after = [...left];
  for (const part of parts) {
    let rest = part.amount;
    for (const [place, entry] of transaction.entries.entries()) {
      if (entry.accountId !== part.accountId || entry.direction !== part.direction) continue;
      const before = after[place] ?? 0n;
      const most = way === 'take' ? before : entryAmount(transaction.kind, entry) - before;
      const moved = rest < most ? rest : most;
      after[place] = way === 'take' ? before - moved : before + moved;
      rest -= moved;
    }
    if (rest > 0n) return undefined;
  }
  return after;
}
