import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_AMOUNT, MAX_TOTAL } from '#kernel/money.js';
import { type FeeItem, feeOf } from './fee.js';
import type { FeeRule } from './fee-plan.js';

const RULE: FeeRule = {
  appliesTo: 'payment',
  currency: 'EUR',
  percentBps: 140,
  fixed: 25n,
  min: undefined,
  max: undefined,
  tierFrom: 0n,
};
const ITEM: FeeItem = { appliesTo: 'payment', currency: 'EUR', amount: 10_000n, volumeBefore: 0n };
const fee = (rule: Partial<FeeRule>, item: Partial<FeeItem> = {}): bigint =>
  feeOf([{ ...RULE, ...rule }], { ...ITEM, ...item }).fee;

describe('a fee', () => {
  it('is the percentage and what is fixed', () => {
    expect(fee({})).toBe(165n);
    expect(fee({ percentBps: 0 })).toBe(25n);
    expect(fee({ percentBps: 10_000, fixed: 0n })).toBe(10_000n);
  });

  it.each([
    [50n, 0n],
    [51n, 1n],
    [149n, 1n],
    [150n, 2n],
    [250n, 2n],
    [350n, 4n],
  ])('rounds the percentage to the nearest, a half to the even one: of %s one percent is %s', (amount, rounded) => {
    expect(fee({ percentBps: 100, fixed: 0n }, { amount })).toBe(rounded);
  });

  it('lies between the least and the most', () => {
    expect(fee({ min: 200n })).toBe(200n);
    expect(fee({ max: 100n })).toBe(100n);
    expect(fee({ min: 165n, max: 165n })).toBe(165n);
  });

  it('of a payment is never more than the payment; of anything else it may be', () => {
    expect(fee({ fixed: 500n }, { amount: 300n })).toBe(300n);
    expect(fee({ min: 500n }, { amount: 300n })).toBe(300n);
    for (const appliesTo of ['refund', 'dispute', 'payout'] as const) {
      expect(fee({ appliesTo, percentBps: 0, fixed: 1_500n }, { appliesTo, amount: 300n })).toBe(1_500n);
    }
  });

  it('is none where no rule is for such an item, or its lowest tier is not reached', () => {
    const none = { fee: 0n, rule: undefined };
    expect(feeOf([], ITEM)).toEqual(none);
    expect(feeOf([RULE], { ...ITEM, currency: 'USD' })).toEqual(none);
    expect(feeOf([RULE], { ...ITEM, appliesTo: 'payout' })).toEqual(none);
    expect(feeOf([{ ...RULE, tierFrom: 1_000n }], { ...ITEM, volumeBefore: 999n })).toEqual(none);
  });

  it('goes by the highest tier that was reached before the item, in whatever order the rules stand', () => {
    const tiers = [0n, 5_000n, 90_000n].map((tierFrom, index) => ({ ...RULE, tierFrom, fixed: BigInt(index) }));
    const by = (volumeBefore: bigint) => feeOf([...tiers].reverse(), { ...ITEM, volumeBefore }).rule?.tierFrom;
    expect([-1n, 0n, 4_999n, 5_000n, 89_999n, 90_000n].map(by)).toEqual([0n, 0n, 0n, 5_000n, 5_000n, 90_000n]);
    expect(feeOf(tiers, { ...ITEM, volumeBefore: 4_999n })).toEqual(feeOf([...tiers].reverse(), ITEM));
  });

  it('is exact where doubles and int8 are not', () => {
    expect(fee({ percentBps: 9_999, fixed: 0n }, { amount: MAX_AMOUNT })).toBe(9_006_298_534_815_517n);
    const refund = { appliesTo: 'refund' } as const;
    expect(fee({ ...refund, percentBps: 10_000, fixed: MAX_AMOUNT }, { ...refund, amount: MAX_TOTAL })).toBe(
      MAX_TOTAL + MAX_AMOUNT,
    );
  });
});

// ---- an oracle that shares nothing: fractions in lowest terms, compared by cross-multiplication

interface Fraction {
  n: bigint;
  d: bigint;
}
const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? a : gcd(b, a % b));
const fraction = (n: bigint, d: bigint): Fraction => ({ n: n / gcd(n, d), d: d / gcd(n, d) });
const less = (a: Fraction, b: Fraction): boolean => a.n * b.d < b.n * a.d;
const distance = (a: Fraction, whole: bigint): Fraction => {
  const n = a.n - whole * a.d;
  return fraction(n < 0n ? -n : n, a.d);
};

/** The whole number that is nearest, searched by halving; of two that are as near the one that 2 divides. */
function nearest(exact: Fraction): bigint {
  let [low, high] = [0n, exact.n + 1n];
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (less(exact, fraction(middle, 1n))) high = middle;
    else low = middle;
  }
  if (less(distance(exact, low), distance(exact, high))) return low;
  if (less(distance(exact, high), distance(exact, low))) return high;
  return [low, high].find((whole) => BigInt.asUintN(1, whole) === 0n) as bigint;
}

function oracle(rules: readonly FeeRule[], { appliesTo, currency, amount, volumeBefore }: FeeItem): bigint {
  const reached = rules
    .filter((rule) => [rule.appliesTo, rule.currency].join() === [appliesTo, currency].join())
    .filter((rule) => rule.tierFrom === 0n || volumeBefore >= rule.tierFrom)
    .sort((a, b) => Number(b.tierFrom - a.tierFrom));
  const rule = reached[0];
  if (!rule) return 0n;
  let charged = nearest(fraction(amount * BigInt(rule.percentBps), 10_000n)) + rule.fixed;
  if (rule.min !== undefined) charged = [charged, rule.min].reduce((a, b) => (a > b ? a : b));
  if (rule.max !== undefined) charged = [charged, rule.max].reduce((a, b) => (a < b ? a : b));
  return appliesTo === 'payment' ? [charged, amount].reduce((a, b) => (a < b ? a : b)) : charged;
}

const SUBJECTS = fc.constantFrom('payment' as const, 'payment' as const, 'refund' as const, 'dispute' as const);
const CURRENCIES = fc.constantFrom('EUR', 'EUR', 'EUR', 'JPY');
const MONEY = fc.oneof(fc.bigInt(0n, 2_000n), fc.bigInt(0n, MAX_AMOUNT), fc.constantFrom(0n, 50n, 150n, MAX_AMOUNT));
const TIER = fc.constantFrom(0n, 0n, 1n, 1_000n, 10n ** 15n);
const RULES: fc.Arbitrary<FeeRule[]> = fc.uniqueArray(
  fc
    .record({
      appliesTo: SUBJECTS,
      currency: CURRENCIES,
      percentBps: fc.oneof(fc.nat(10_000), fc.constantFrom(0, 1, 50, 100, 2_500, 5_000, 10_000)),
      fixed: fc.oneof(fc.constant(0n), MONEY),
      min: fc.option(MONEY, { nil: undefined }),
      max: fc.option(MONEY, { nil: undefined }),
      tierFrom: TIER,
    })
    .filter(({ fixed, min = 0n, max }) => max === undefined || (fixed <= max && min <= max)),
  { selector: ({ appliesTo, currency, tierFrom }) => `${appliesTo} ${currency} ${tierFrom}`, maxLength: 8 },
);
const ITEMS: fc.Arbitrary<FeeItem> = fc.record({
  appliesTo: SUBJECTS,
  currency: CURRENCIES,
  amount: fc.oneof(MONEY, fc.bigInt(0n, MAX_TOTAL)),
  volumeBefore: fc.oneof(TIER, fc.bigInt(-1_000n, 2_000n), fc.bigInt(0n, MAX_TOTAL)),
});

it('is what an oracle in rationals says, of any rules and any item', () => {
  const met = { half: 0, none: 0, least: 0, most: 0, capped: 0, tier: 0 };
  fc.assert(
    fc.property(RULES, ITEMS, (rules, item) => {
      const { fee: charged, rule } = feeOf(rules, item);
      expect(charged).toBe(oracle(rules, item));
      if (!rule) met.none += 1;
      else if (rule.tierFrom > 0n) met.tier += 1;
      if (rule && (item.amount * BigInt(rule.percentBps)) % 10_000n === 5_000n) met.half += 1;
      if (rule && charged === rule.min) met.least += 1;
      if (rule && charged === rule.max) met.most += 1;
      if (rule && item.appliesTo === 'payment' && charged === item.amount) met.capped += 1;
    }),
    { seed: 20_261_127, numRuns: 5_000 },
  );
  for (const [what, times] of Object.entries(met)) expect(times, what).toBeGreaterThan(50);
});
