import type { Fact } from './facts.js';
import type { Movement } from './movement.js';

/** What is known of a payment's authorisation, were it not refused. */
export interface Authorisation {
  /** Minor units; undefined: nobody told of one, as with a sale that is captured at once. */
  readonly amount: bigint | undefined;
  /** What provider or merchant said was authorised, when that was several amounts; ascending. */
  readonly told: readonly bigint[];
  /** The provider's refusal, where no provider's authorisation stands against it: success is sticky. */
  readonly refusal: Fact | undefined;
}

/** `facts`: all `authorised`, `authorisation_adjusted` and `authorisation_failed`, in their own order. */
export function authorisationOf(facts: readonly Fact[]): Authorisation {
  const told = new Set<bigint>();
  let confirmed = false;
  let refusal: Fact | undefined;
  let amount: bigint | undefined;
  for (const { type, source, amount: one, amountKind } of facts) {
    if (type !== 'authorised') continue;
    if (source === 'provider') confirmed = true;
    if (one === undefined) continue;
    if (amount === undefined || one > amount) amount = one;
    // What it comes to so far may grow, and contradicts nothing.
    if (amountKind === 'delta') told.add(one);
  }
  if (!confirmed) refusal = facts.find(({ type }) => type === 'authorisation_failed');
  return { amount: adjusted(facts, amount), told: told.size > 1 ? [...told].sort(ascending) : [], refusal };
}

/** The last adjustment says to what; those that say what it comes to so far count by the highest. */
function adjusted(facts: readonly Fact[], amount: bigint | undefined): bigint | undefined {
  let last: Fact | undefined;
  let highest = amount;
  for (const fact of facts) {
    if (fact.type !== 'authorisation_adjusted' || fact.amount === undefined) continue;
    last = fact;
    if (fact.amountKind === 'cumulative' && (highest === undefined || fact.amount > highest)) highest = fact.amount;
  }
  if (last === undefined) return amount;
  return last.amountKind === 'cumulative' ? highest : last.amount;
}

function ascending(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** A refusal beats what the merchant claims, not a capture that the provider tells and that stands. */
export function isRefused({ refusal }: Authorisation, captures: readonly Movement[]): boolean {
  return refusal !== undefined && !captures.some(({ told, failure }) => told && !failure);
}

/** What gave the rest of a hold back. */
export interface Closing {
  readonly voided: Fact | undefined;
  readonly expired: Fact | undefined;
  readonly isClosed: boolean;
}

/** `facts`: all `voided` and `expired`, in their own order. */
export function closingOf(facts: readonly Fact[], captures: readonly Movement[]): Closing {
  const voided = facts.find(({ type }) => type === 'voided');
  const expired = facts.find(({ type }) => type === 'expired');
  const final = captures.some(({ claim, failure }) => claim?.final && !failure);
  return { voided, expired, isClosed: final || voided !== undefined || expired !== undefined };
}
