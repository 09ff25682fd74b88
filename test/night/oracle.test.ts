import { describe, expect, test } from 'vitest';
import { amountsOf, type Night, type Posted, settle, type Terms } from './oracle.js';
import { fraction, halfEven } from './rationals.js';
import { chargeOf, type PlanVersion, type Rule } from './tariff.js';

/** Each value here was reckoned by hand. */

const EUR = { currency: 'EUR' };
const at = (time: string): number => Date.parse(`2011-${time}Z`);

test.each([
  [5n, 2n, 2n],
  [7n, 2n, 4n],
  [-5n, 2n, -2n],
  [-7n, 2n, -4n],
  [1n, 2n, 0n],
  [-1n, 2n, 0n],
  [251n, 100n, 3n],
  [-249n, 100n, -2n],
  [6n, 3n, 2n],
])('%s ÷ %s is rounded to %s', (top, bottom, rounded) => {
  expect(halfEven(fraction(top, bottom))).toBe(rounded);
});

const TIERS: readonly Rule[] = [
  { ...EUR, appliesTo: 'payment', percentBps: 290, fixed: 30n, tierFrom: 0n },
  { ...EUR, appliesTo: 'payment', percentBps: 190, fixed: 25n, tierFrom: 10_000n, min: 50n, max: 400n },
  { ...EUR, appliesTo: 'refund', percentBps: 0, fixed: 10n },
  { ...EUR, appliesTo: 'dispute', percentBps: 0, fixed: 1_500n },
];

describe('what is charged', () => {
  const charged = (amount: bigint, volume: bigint, kind: 'payment' | 'refund' | 'dispute' = 'payment') => {
    return chargeOf(TIERS, { kind, ...EUR, amount, volume })?.fee;
  };
  test.each([
    // 10,000 × 2.9 % + 30
    [10_000n, 0n, 320n],
    [10_000n, -1n, 320n],
    // The tier begins when it was reached before the item.
    [10_000n, 9_999n, 320n],
    [10_000n, 10_000n, 215n],
    [100n, 10_000n, 50n],
    [1_000_000n, 10_000n, 400n],
    // 50 × 2.9 % = 1.45; 150 × 2.9 % = 4.35
    [50n, 0n, 31n],
    [150n, 0n, 34n],
    // Ties: 500 × 2.9 % = 14.5, 1,500 × 2.9 % = 43.5
    [500n, 0n, 44n],
    [1_500n, 0n, 74n],
    // No more than the payment, whatever the minimum.
    [20n, 0n, 20n],
    [40n, 10_000n, 40n],
  ])('a payment of %s after %s: %s', (amount, volume, fee) => {
    expect(charged(amount, volume)).toBe(fee);
  });

  test('the percent is rounded before the fixed part is added', () => {
    // 113,300 × 0.5 % = 566.5, which is 566; 571.5 would be 572.
    const rules: readonly Rule[] = [{ ...EUR, appliesTo: 'refund', percentBps: 50, fixed: 5n }];
    expect(chargeOf(rules, { kind: 'refund', ...EUR, amount: 113_300n, volume: 0n })?.fee).toBe(571n);
    // 250 × 1 % = 2.5, which is 2; 27.5 would be 28.
    const odd: readonly Rule[] = [{ ...EUR, appliesTo: 'refund', percentBps: 100, fixed: 25n }];
    expect(chargeOf(odd, { kind: 'refund', ...EUR, amount: 250n, volume: 0n })?.fee).toBe(27n);
  });

  test('a refund may cost more than it is; where there is no rule there is no fee', () => {
    expect([charged(5n, 0n, 'refund'), charged(1n, 0n, 'dispute')]).toEqual([10n, 1_500n]);
    expect(chargeOf(TIERS, { kind: 'payment', currency: 'JPY', amount: 5n, volume: 0n })).toBeUndefined();
    const fromTier = TIERS.slice(1, 2);
    expect(chargeOf(fromTier, { kind: 'payment', ...EUR, amount: 5n, volume: 9_999n })).toBeUndefined();
  });
});

const plan = (version: number, from: number, rules: readonly Rule[], refundReturnsFee = false): PlanVersion => {
  return { plan: 'p', version, validFromMs: from, refundReturnsFee, rules };
};

const terms = (...versions: PlanVersion[]): Terms => {
  const clock = { zone: 'Europe/Berlin', cutoff: '22:00' };
  return { clock, openedMs: at('10-01T12:00'), versions, plans: [{ plan: 'p', validFromMs: -Infinity }] };
};

type Said = [kind: Posted['kind'], amount: bigint, time: string, payment?: string];

function posted(...said: Said[]): Posted[] {
  return said.map(([kind, amount, time, payment], index) => {
    const of = payment === undefined ? {} : { payment };
    return { ...EUR, version: index + 1, kind, amount, atMs: at(time), transaction: `t${index + 1}`, ...of };
  });
}

const night = (date: string, seen: number): Night => ({ date: `2011-${date}`, seen: new Map([['EUR', seen]]) });

const chargedOf = (of: Terms, entries: Posted[], ...nights: Night[]): bigint[] =>
  settle(of, entries, nights).settlements.flatMap(({ lines }) => lines.map((line) => line.charged));

const ALL = 99;

describe('what is given back', () => {
  const HALF: readonly Rule[] = [{ ...EUR, appliesTo: 'payment', percentBps: 0, fixed: 5n }];

  test('a payment of which a half is refunded twice gets all of it back, rounded once up and once down', () => {
    const entries = posted(
      ['payment', 100n, '10-03T10:00', 'a'],
      ['refund', -50n, '10-03T11:00', 'a'],
      ['refund', -50n, '10-03T12:00', 'a'],
    );
    // 5 × 50/100 = 2.5, which is 2; then 5 − 2.
    expect(chargedOf(terms(plan(1, -Infinity, HALF, true)), entries, night('10-03', ALL))).toEqual([5n, -2n, -3n]);
    expect(chargedOf(terms(plan(1, -Infinity, HALF)), entries, night('10-03', ALL))).toEqual([5n, 0n, 0n]);
  });

  test('a refund that is undone is charged again; a dispute gives nothing back', () => {
    const entries = posted(
      ['payment', 100n, '10-03T10:00', 'a'],
      ['refund', -50n, '10-03T11:00', 'a'],
      ['refund', 50n, '10-03T12:00', 'a'],
      ['dispute', -100n, '10-03T12:00', 'a'],
      ['dispute', 100n, '10-03T12:00', 'a'],
    );
    const fees = chargedOf(terms(plan(1, -Infinity, HALF, true)), entries, night('10-03', ALL));
    expect(fees).toEqual([5n, -2n, 2n, 0n, 0n]);
  });

  test('a capture that failed gives back whatever the plan says, on another day as well', () => {
    const entries = posted(
      ['payment', 60n, '10-03T10:00', 'a'],
      ['payment', 40n, '10-03T10:00', 'a'],
      ['payment', -60n, '10-04T10:00', 'a'],
      ['refund', -40n, '10-04T11:00', 'a'],
    );
    // 10 in all: 6 of it goes with the capture; without `refund_returns_fee` the refund leaves the rest.
    const nights = [night('10-03', 2), night('10-04', ALL)];
    expect(chargedOf(terms(plan(1, -Infinity, HALF)), entries, ...nights)).toEqual([5n, 5n, -6n, 0n]);
    expect(chargedOf(terms(plan(1, -Infinity, HALF, true)), entries, ...nights)).toEqual([5n, 5n, -6n, -4n]);
  });

  test('a refund has its own fee besides', () => {
    const rules: readonly Rule[] = [...HALF, { ...EUR, appliesTo: 'refund', percentBps: 100, fixed: 1n }];
    const entries = posted(['payment', 100n, '10-03T10:00', 'a'], ['refund', -100n, '10-03T11:00', 'a']);
    expect(chargedOf(terms(plan(1, -Infinity, rules, true)), entries, night('10-03', ALL))).toEqual([5n, -3n]);
  });
});

describe('what counts', () => {
  test('is the version that was valid when it happened, and the volume of its month, as far as it was settled', () => {
    const flat = (fixed: bigint, tierFrom = 0n): Rule => {
      return { ...EUR, appliesTo: 'payment', percentBps: 0, fixed, tierFrom };
    };
    const of = terms(plan(1, -Infinity, [flat(1n), flat(2n, 100n)]), plan(2, at('10-31T22:30'), [flat(3n)]));
    const entries = posted(
      ['payment', 100n, '10-31T10:00', 'a'],
      ['payment', 100n, '10-31T10:00', 'b'],
      // 23:15 of the same day in Berlin, which is the next business day.
      ['payment', 100n, '10-31T22:15', 'c'],
      ['payment', 100n, '10-31T22:30', 'd'],
      ['payment', -100n, '10-31T22:20', 'c'],
      ['payment', 100n, '10-31T22:25', 'e'],
    );
    expect(chargedOf(of, entries, night('10-31', ALL), night('11-01', ALL))).toEqual([1n, 2n, 2n, 3n, -2n, 2n]);
  });

  test('no plan, no fee', () => {
    const entries = posted(['payment', 100n, '10-03T10:00', 'a']);
    const none = { ...terms(plan(1, -Infinity, TIERS)), plans: [{ plan: 'p', validFromMs: at('10-04T00:00') }] };
    expect(chargedOf(none, entries, night('10-03', ALL))).toEqual([0n]);
  });
});

describe('a night', () => {
  const none = terms();
  const entries = posted(
    ['payment', 1_000n, '10-03T19:59', 'a'],
    ['payment', 500n, '10-03T20:00', 'b'],
    ['refund', -200n, '10-03T21:00', 'a'],
    ['other', -7n, '10-03T18:00'],
    // Told when the 3rd was closed.
    ['dispute', -50n, '10-03T19:00', 'a'],
    ['payout', -900n, '10-04T10:00', 'x'],
  );
  const shown = (...nights: Night[]) =>
    settle(none, entries, nights).settlements.map((settlement) => [settlement.day.date, amountsOf(settlement)]);

  test('takes what was known and had happened, and what comes later is an adjustment of a later day', () => {
    const [third, fourth] = shown(night('10-03', 4), night('10-04', ALL));
    const nothing = { gross: 0n, refunds: 0n, disputes: 0n, other: 0n, adjustments: 0n, fees: 0n };
    expect(third).toEqual(['2011-10-03', { ...nothing, gross: 1_000n, other: -7n, net: 993n, items: 2 }]);
    const amounts = { ...nothing, gross: 500n, refunds: 200n, adjustments: -50n, net: 250n, items: 4 };
    expect(fourth).toEqual(['2011-10-04', amounts]);
    const { settlements } = settle(none, entries, [night('10-03', 4), night('10-04', ALL)]);
    expect(settlements[1]?.lines.map(({ version, date }) => [version, date])).toEqual([
      [2, '2011-10-04'],
      [3, '2011-10-04'],
      [5, '2011-10-03'],
      [6, '2011-10-04'],
    ]);
  });

  test('catches up what was missed in order, does nothing twice, and leaves what has not happened', () => {
    const nights = [night('10-02', 4), night('10-05', ALL), night('10-04', ALL), night('10-05', ALL)];
    const { outcomes, settlements, unsettled } = settle(none, [...entries, ...later], nights);
    expect(outcomes).toEqual(['empty', 'empty', 'settled', 'empty']);
    expect(settlements.map(({ day }) => day.date)).toEqual(['2011-10-03', '2011-10-04']);
    expect(unsettled).toEqual(later);
  });
  const later: Posted[] = [
    { ...EUR, version: 7, kind: 'payment', amount: 3n, atMs: at('10-05T20:00'), transaction: 't7', payment: 'c' },
  ];

  test('that is before the merchant is not due', () => {
    expect(settle(none, entries, [night('09-30', ALL)]).outcomes).toEqual(['not_due']);
    // Opened on the 1st; what happened before makes it begin before.
    const before = posted(['payment', 1n, '09-30T19:00', 'a']);
    expect(settle(none, before, [night('09-29', ALL), night('09-30', ALL)]).outcomes).toEqual(['not_due', 'settled']);
  });
});
