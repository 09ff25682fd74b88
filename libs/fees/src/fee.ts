import type { FeeRule, FeeSubject } from './fee-plan.js';

const BPS = 10_000n;

export interface FeeItem {
  readonly appliesTo: FeeSubject;
  readonly currency: string;
  /** What the fee is charged on, in minor units; not negative. */
  readonly amount: bigint;
  /** Gross volume of the calendar month before the item. Below zero counts as zero. */
  readonly volumeBefore: bigint;
}

export interface Fee {
  readonly fee: bigint;
  /** The one that was applied; undefined: none is there for it, and no fee. */
  readonly rule: FeeRule | undefined;
}

/** What an item costs by the rules of a plan's version. Exact: in integers of any size, rounded once. */
export function feeOf(rules: readonly FeeRule[], item: FeeItem): Fee {
  const rule = ruleFor(rules, item);
  if (!rule) return { fee: 0n, rule };
  const charged = clamp(halfEven(item.amount * BigInt(rule.percentBps), BPS) + rule.fixed, rule);
  // Nobody pays for being paid.
  const isTooMuch = item.appliesTo === 'payment' && charged > item.amount;
  return { fee: isTooMuch ? item.amount : charged, rule };
}

/** Of the rules for such an item the one whose tier is the highest that was reached. */
function ruleFor(rules: readonly FeeRule[], { appliesTo, currency, volumeBefore }: FeeItem): FeeRule | undefined {
  const volume = volumeBefore > 0n ? volumeBefore : 0n;
  let best: FeeRule | undefined;
  for (const rule of rules) {
    const isMeant = rule.appliesTo === appliesTo && rule.currency === currency && rule.tierFrom <= volume;
    if (isMeant && (!best || rule.tierFrom > best.tierFrom)) best = rule;
  }
  return best;
}

function clamp(fee: bigint, { min, max }: FeeRule): bigint {
  if (min !== undefined && fee < min) return min;
  return max !== undefined && fee > max ? max : fee;
}

/** Of two whole numbers, neither negative: their quotient to the nearest whole number, a half to the even one. */
function halfEven(dividend: bigint, divisor: bigint): bigint {
  const quotient = dividend / divisor;
  const twice = (dividend % divisor) * 2n;
  const isUp = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  return isUp ? quotient + 1n : quotient;
}
