import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Balance } from '../accounts/account.js';
import { type Adjust, type Book, type Decision, MAX_ENTRIES, type NewEntry } from './command.js';
import { applyEntries, findUnbalanced } from './entries.js';
import type { Entry, Transaction } from './transaction.js';

/** An adjustment is asked for by our own code: what no fact of a payment can make of it is a mistake of ours, and thrown. */
export function decideAdjust(book: Book, command: Adjust, id: bigint): Decision {
  throwIfMisshapen(command);
  const unbalanced = findUnbalanced(amounts(command.entries, 'posted')) ?? unbalancedPending(command.entries);
  if (unbalanced) return unbalanced;
  const applied = applyEntries(book, command.entries, id, false);
  if ('accepted' in applied) return applied;
  throwIfBelowZero(applied.balances);
  const transaction: Transaction = {
    id,
    kind: 'adjustment',
    type: command.type,
    ...adjustedTotal(applied.entries),
    description: command.description,
    externalRef: command.externalRef,
    effectiveAtMs: command.effectiveAtMs ?? snowflakeTimeMs(id),
    expiresAtMs: undefined,
    parentId: undefined,
    metadata: command.metadata,
    ignoredFloor: false,
    entries: applied.entries,
  };
  return { accepted: true, transaction, balances: applied.balances, states: [] };
}

function throwIfMisshapen({ entries }: Adjust): void {
  if (entries.length === 0 || entries.length > MAX_ENTRIES) {
    throw new Error(`an adjustment of ${entries.length} entries`);
  }
  for (const [index, { posted, pending }] of entries.entries()) {
    if (posted < 0n) throw new Error(`entries.${index} of an adjustment posts ${posted}`);
    if (posted === 0n && pending === 0n) throw new Error(`entries.${index} of an adjustment moves nothing`);
  }
}

function amounts(entries: readonly NewEntry[], of: 'posted' | 'pending') {
  return entries.map(({ direction, currency, [of]: amount }) => ({ direction, currency, amount }));
}

function unbalancedPending(entries: readonly NewEntry[]) {
  return findUnbalanced(amounts(entries, 'pending'), { debit: 'pending debits', credit: 'pending credits' });
}

/** A release of more than is held: it would be somebody else's hold, or nobody's. */
function throwIfBelowZero(balances: ReadonlyMap<bigint, Balance>): void {
  for (const [accountId, { pendingDebits, pendingCredits }] of balances) {
    if (pendingDebits < 0n || pendingCredits < 0n) {
      throw new Error(`an adjustment releases more than is held on account ${accountId}`);
    }
  }
}

/**
 * What lists show of an adjustment: the debits that it posted, in the currency of the first entry that posted any. Where it
 * posted nothing, what its debits held and released, without sign, in the currency of the first entry; of credits, where
 * one side alone moved.
 */
function adjustedTotal(entries: readonly Entry[]): { amount: bigint; currency: string } {
  const posts = entries.some(({ posted }) => posted > 0n);
  const shown = ({ posted, pending }: Entry): bigint => (posts ? posted : pending < 0n ? -pending : pending);
  const currency = entries.find((entry) => shown(entry) > 0n)?.currency ?? '';
  const sums = { debit: 0n, credit: 0n };
  for (const entry of entries) if (entry.currency === currency) sums[entry.direction] += shown(entry);
  return { amount: sums.debit || sums.credit, currency };
}
