import { type Fraction, fraction, halfEven, least, most, times, whole } from './rationals.js';

/** What is charged, from the words of the law alone. */

export type Charged = 'payment' | 'refund' | 'dispute' | 'payout';

export interface Rule {
  readonly appliesTo: Charged;
  readonly currency: string;
  readonly percentBps: number;
  readonly fixed: bigint;
  readonly min?: bigint;
  readonly max?: bigint;
  readonly tierFrom?: bigint;
}

export interface PlanVersion {
  readonly plan: string;
  readonly version: number;
  /** -Infinity: since ever. */
  readonly validFromMs: number;
  readonly refundReturnsFee: boolean;
  readonly rules: readonly Rule[];
}

export interface OnPlan {
  readonly plan: string;
  readonly validFromMs: number;
}

/** What of a plan's versions, or of a merchant's plans, counts at a moment: what began last. */
export function validAt<T extends { readonly validFromMs: number }>(all: readonly T[], atMs: number): T | undefined {
  let valid: T | undefined;
  for (const one of all) {
    if (one.validFromMs <= atMs && (valid === undefined || one.validFromMs > valid.validFromMs)) valid = one;
  }
  return valid;
}

export interface Item {
  readonly kind: Charged;
  readonly currency: string;
  /** Above zero. */
  readonly amount: bigint;
  /** Of the month, before the item. */
  readonly volume: bigint;
}

export interface Charge {
  readonly fee: bigint;
  /** If nothing were rounded. */
  readonly exact: Fraction;
}

/** Undefined: no rule. A month in which more failed than was captured has no volume, and not less than none. */
export function chargeOf(rules: readonly Rule[], { kind, currency, amount, volume }: Item): Charge | undefined {
  const reached = rules.filter(
    (rule) => rule.appliesTo === kind && rule.currency === currency && (rule.tierFrom ?? 0n) <= most(volume, 0n),
  );
  const rule = reached.sort((left, right) => Number((right.tierFrom ?? 0n) - (left.tierFrom ?? 0n)))[0];
  if (!rule) return undefined;
  const share = times(whole(amount), fraction(BigInt(rule.percentBps), 10_000n));
  const cap = kind === 'payment' ? least(amount, rule.max ?? amount) : rule.max;
  const charged = (percent: Fraction): Fraction =>
    between(fraction(percent.top + rule.fixed * percent.bottom, percent.bottom), rule.min ?? 0n, cap);
  // The percent is rounded, and then the rest is added: a half may become even by an odd one otherwise.
  return { fee: charged(whole(halfEven(share))).top, exact: charged(share) };
}

/** The upper bound holds where both cannot. */
function between(value: Fraction, low: bigint, high: bigint | undefined): Fraction {
  const raised = fraction(most(value.top, low * value.bottom), value.bottom);
  return high === undefined ? raised : fraction(least(raised.top, high * raised.bottom), raised.bottom);
}
