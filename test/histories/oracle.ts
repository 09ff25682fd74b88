import type { Asked, LedgerEntry, Move, Posting, Sums } from './history.js';

/**
 * What clients asked for, applied by rules of its own: which of the answers came first is taken from the ledger, what they
 * do to an account is not.
 */

/** One transaction as it should be. */
export interface Effect {
  readonly from: string;
  readonly to: string;
  /** Of the debited account; the other one gets the same on the other side. */
  readonly posted: bigint;
  readonly pending: bigint;
  /** A reversal debits what was credited. */
  readonly back: boolean;
}

export interface Expected {
  /** By `nameOf`. A transaction that nobody asked for, or that is more than was held or posted, has none. */
  readonly effects: ReadonlyMap<string, Effect>;
  /** By key: what a hold still holds, and what of anything posted can still be reversed. */
  readonly held: ReadonlyMap<string, bigint>;
  readonly reversible: ReadonlyMap<string, bigint>;
}

/** Whoever asked for it; an expiry is nobody's. */
export function nameOf({ key, expiryOf }: Pick<LedgerEntry, 'key' | 'expiryOf'>): string {
  return expiryOf === undefined ? key : `the expiry of ${expiryOf}`;
}

/** What an effect adds to an account, in the order of a read's sums. */
export function addsTo(account: string, { from, posted, pending, back }: Effect): Sums {
  const isDebit = (account === from) !== back;
  return isDebit ? [posted, 0n, pending, 0n] : [0n, posted, 0n, pending];
}

export function expectedOf(asked: ReadonlyMap<string, Asked>, ledger: readonly LedgerEntry[]): Expected {
  const moves = movesByParent(asked, ledger);
  const effects = new Map<string, Effect>();
  const held = new Map<string, bigint>();
  const reversible = new Map<string, bigint>();
  const reversals = (key: string, { from, to, posted }: Effect) => {
    let left = posted;
    for (const entry of moves.get(key) ?? []) {
      const { amount = left } = asked.get(entry.key) as Move;
      if (amount > left || left === 0n) continue;
      left -= amount;
      effects.set(nameOf(entry), { from, to, posted: amount, pending: 0n, back: true });
    }
    reversible.set(key, left);
  };
  for (const key of new Set(ledger.map((entry) => entry.key))) {
    const posting = asked.get(key);
    if (!posting || isMove(posting)) continue;
    const { from, to, amount } = posting;
    const isHold = posting.kind === 'hold';
    const effect = { from, to, posted: isHold ? 0n : amount, pending: isHold ? amount : 0n, back: false };
    effects.set(key, effect);
    if (!isHold) {
      reversals(key, effect);
      continue;
    }
    let remaining = amount;
    for (const entry of moves.get(key) ?? []) {
      const move = entry.expiryOf === undefined ? (asked.get(entry.key) as Move) : undefined;
      const taken = move?.kind === 'capture' ? (move.amount ?? remaining) : 0n;
      if (remaining === 0n || taken > remaining) continue;
      const after = move?.kind === 'capture' && move.amount !== undefined && !move.final ? remaining - taken : 0n;
      const moved = { from, to, posted: taken, pending: after - remaining, back: false };
      effects.set(nameOf(entry), moved);
      if (taken > 0n) reversals(entry.key, moved);
      remaining = after;
    }
    held.set(key, remaining);
  }
  return { effects, held, reversible };
}

export function isMove(asked: Asked): asked is Move {
  return 'parent' in asked;
}

/** The posting that everything about it began with. */
export function originOf(asked: ReadonlyMap<string, Asked>, one: Asked): Posting | undefined {
  if (!isMove(one)) return one;
  const parent = asked.get(one.parent);
  return parent && originOf(asked, parent);
}

/** What moved each parent, in the order of the account that both debit or credit. */
function movesByParent(asked: ReadonlyMap<string, Asked>, ledger: readonly LedgerEntry[]): Map<string, LedgerEntry[]> {
  const moves = new Map<string, LedgerEntry[]>();
  for (const entry of ledger) {
    const one = asked.get(entry.key);
    const parent = entry.expiryOf ?? (one && isMove(one) ? one.parent : undefined);
    const origin = parent === undefined ? undefined : asked.get(parent);
    if (parent === undefined || !origin || entry.account !== originOf(asked, origin)?.from) continue;
    moves.set(parent, [...(moves.get(parent) ?? []), entry]);
  }
  for (const entries of moves.values()) entries.sort((left, right) => left.version - right.version);
  return moves;
}
