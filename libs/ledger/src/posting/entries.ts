import { MAX_AMOUNT, MAX_TOTAL } from '#kernel/money.js';
import type { ProblemCode } from '#kernel/problem.js';
import { availableAmount, type Balance } from '../accounts/account.js';
import type { Book, EntryRequest, NewEntry, Refused } from './command.js';
import { type Entry, entryAmount, type TransactionKind } from './transaction.js';

/** The arithmetic of entries on balances, and what forbids it. */

export function refuse(code: ProblemCode, detail: string, path?: string): Refused {
  return { accepted: false, code, detail, errors: path === undefined ? undefined : [{ path, message: detail }] };
}

/** Applies the proposed entries in order. `checkFloors`: captures and releases never lower `available` and always go through. */
export function applyEntries(
  book: Book,
  proposed: readonly NewEntry[],
  id: bigint,
  checkFloors: boolean,
): { entries: Entry[]; balances: Map<bigint, Balance> } | Refused {
  const balances = new Map<bigint, Balance>();
  const entries: Entry[] = [];
  for (const [index, entry] of proposed.entries()) {
    const account = book.account(entry.accountId);
    const before = balances.get(entry.accountId) ?? book.balance(entry.accountId);
    if (!account || !before)
      return refuse('not_found', `entries.${index}: there is no such account.`, `entries.${index}`);
    if (account.currency !== entry.currency) {
      return refuse(
        'currency_mismatch',
        `entries.${index}: account ${account.code} is in ${account.currency}, not ${entry.currency}.`,
        `entries.${index}.currency`,
      );
    }
    if (before.closed) {
      return refuse('account_closed', `entries.${index}: account ${account.code} is closed.`, `entries.${index}`);
    }
    const after = addEntry(before, entry, id);
    if (entry.posted > MAX_AMOUNT || entry.pending > MAX_AMOUNT || entry.pending < -MAX_AMOUNT) {
      return refuse(
        'amount_out_of_range',
        `entries.${index}: the amount for account ${account.code} is above ${MAX_AMOUNT}.`,
        `entries.${index}.amount`,
      );
    }
    if (
      after[entry.direction === 'debit' ? 'postedDebits' : 'postedCredits'] > MAX_TOTAL ||
      after[entry.direction === 'debit' ? 'pendingDebits' : 'pendingCredits'] > MAX_TOTAL
    ) {
      return refuse(
        'amount_out_of_range',
        `entries.${index}: the ${entry.direction}s of account ${account.code} would rise above ${MAX_TOTAL}.`,
        `entries.${index}.amount`,
      );
    }
    balances.set(entry.accountId, after);
    entries.push({
      accountId: entry.accountId,
      accountVersion: after.version,
      direction: entry.direction,
      currency: entry.currency,
      posted: entry.posted,
      pending: entry.pending,
      postedDebits: after.postedDebits,
      postedCredits: after.postedCredits,
      pendingDebits: after.pendingDebits,
      pendingCredits: after.pendingCredits,
    });
  }
  return (checkFloors && findOverdrawn(book, proposed, balances)) || { entries, balances };
}

function addEntry(before: Balance, entry: NewEntry, id: bigint): Balance {
  const debit = entry.direction === 'debit';
  return {
    postedDebits: debit ? before.postedDebits + entry.posted : before.postedDebits,
    postedCredits: debit ? before.postedCredits : before.postedCredits + entry.posted,
    pendingDebits: debit ? before.pendingDebits + entry.pending : before.pendingDebits,
    pendingCredits: debit ? before.pendingCredits : before.pendingCredits + entry.pending,
    version: before.version + 1n,
    lastTransactionId: id,
    closed: before.closed,
  };
}

/** A floor binds whoever lowers `available`; money may always come in. */
function findOverdrawn(
  book: Book,
  proposed: readonly NewEntry[],
  balances: ReadonlyMap<bigint, Balance>,
): Refused | undefined {
  for (const [accountId, after] of balances) {
    const account = book.account(accountId);
    const before = book.balance(accountId);
    if (!account || !before || account.minAvailable === null) continue;
    const available = availableAmount(account.normalSide, after);
    if (available >= account.minAvailable || available >= availableAmount(account.normalSide, before)) continue;
    const index = proposed.findIndex(
      (entry) => entry.accountId === accountId && entry.direction !== account.normalSide,
    );
    return refuse(
      'insufficient_funds',
      `entries.${index}: the available balance of account ${account.code} would be ${available}, below its floor of ${account.minAvailable}.`,
      `entries.${index}`,
    );
  }
  return undefined;
}

/** `version` speaks of the account before the transaction, `min_available` of it afterwards. */
export function findBrokenCondition(
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

export function findUnbalanced(
  entries: readonly Pick<EntryRequest, 'direction' | 'amount' | 'currency'>[],
  sides = { debit: 'debits', credit: 'credits' },
): Refused | undefined {
  const sums = new Map<string, bigint>();
  for (const entry of entries) {
    const signed = entry.direction === 'debit' ? entry.amount : -entry.amount;
    sums.set(entry.currency, (sums.get(entry.currency) ?? 0n) + signed);
  }
  for (const [currency, sum] of sums) {
    if (sum !== 0n) {
      const [more, by] = sum > 0n ? [sides.debit, sum] : [sides.credit, -sum];
      return refuse(
        'unbalanced_entries',
        `entries: the ${more} in ${currency} are ${by} more than the other side.`,
        'entries',
      );
    }
  }
  return undefined;
}

/** The debits in the currency of the first entry that moves anything. */
export function totalOf(kind: TransactionKind, entries: readonly Entry[]): { amount: bigint; currency: string } {
  const currency = entries.find((entry) => entryAmount(kind, entry) > 0n)?.currency ?? '';
  let amount = 0n;
  for (const entry of entries) {
    if (entry.direction === 'debit' && entry.currency === currency) amount += entryAmount(kind, entry);
  }
  return { amount, currency };
}
