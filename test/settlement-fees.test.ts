import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { feeOf } from '#fees/fee.js';
import type { FeeRule } from '#fees/fee-plan.js';
import { MAX_AMOUNT } from '#kernel/money.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { SEED } from './support/seed.js';
import { type Happening, RULE, TestSettlement } from './support/settlement.js';

const DAY_MS = 86_400_000;
const DAYS_AGO = 2;
const DATE = new Date(Date.now() - DAYS_AGO * DAY_MS).toISOString().slice(0, 10);
const NOON_MS = Date.parse(`${DATE}T12:00:00Z`);

let on: TestDatabase;
let settlement: TestSettlement;

beforeAll(async () => {
  on = await freshDatabase();
  settlement = await TestSettlement.open(on, { chunkEntries: 4 });
});
afterAll(async () => {
  await settlement.close();
  await on.drop();
});

type Item = Pick<Happening, 'kind' | 'amount'> & Partial<Happening>;

/** The fees of the lines of a day in which this happened. */
async function feesOf(rules: readonly FeeRule[], items: readonly Item[], returns = false): Promise<bigint[]> {
  const merchantId = await settlement.createMerchant({ createdAtMs: NOON_MS });
  await settlement.charge(merchantId, rules, returns);
  await settlement.happen(merchantId, ...items.map((item) => ({ subject: 1n, atMs: NOON_MS, ...item })));
  expect(await settlement.settle([merchantId], DATE)).toEqual([{ merchantId, outcome: 'settled' }]);
  const { rows } = await asAdmin(on.ownerUrl, (owner) =>
    owner.query<{ fee: string }>(
      `SELECT fee FROM settlement_lines WHERE merchant_id = $1 AND kind <> 'fees' ORDER BY account_version`,
      [String(merchantId)],
    ),
  );
  return rows.map(({ fee }) => BigInt(fee));
}

const anyAmount = fc.oneof(
  fc.bigInt({ min: 1n, max: 30_000n }),
  fc.bigInt({ min: 1n, max: 300n }).map((halves) => halves * 50n),
  fc.bigInt({ min: MAX_AMOUNT / 4n, max: MAX_AMOUNT / 2n }),
);
const anyRule = fc.record({
  appliesTo: fc.constantFrom<FeeRule['appliesTo']>('payment', 'refund', 'dispute'),
  currency: fc.constantFrom('EUR', 'USD'),
  percentBps: fc.oneof(fc.constantFrom(0, 100, 10_000), fc.integer({ min: 0, max: 10_000 })),
  fixed: fc.oneof(fc.bigInt({ min: 0n, max: 51n }), fc.constant(MAX_AMOUNT / 4n)),
  min: fc.option(fc.bigInt({ min: 0n, max: 60n }), { nil: undefined }),
  max: fc.option(fc.bigInt({ min: 60n, max: 9_000n }), { nil: undefined }),
  tierFrom: fc.constantFrom(0n, 1n, 10_000n, MAX_AMOUNT / 4n, MAX_AMOUNT),
});
const anyRules = fc.uniqueArray(anyRule, {
  maxLength: 9,
  selector: ({ appliesTo, currency, tierFrom }) => `${appliesTo} ${currency} ${tierFrom}`,
});
const anyItem = fc.record({ kind: fc.constantFrom('payment', 'refund', 'dispute'), amount: anyAmount });

test('SQL charges what feeOf does, item by item, with the volume of the month before it', async () => {
  await fc.assert(
    fc.asyncProperty(anyRules, fc.array(anyItem, { minLength: 1, maxLength: 9 }), async (rules, items) => {
      let volumeBefore = 0n;
      const expected = items.map(({ kind: appliesTo, amount }) => {
        const { fee } = feeOf(rules, { appliesTo, currency: 'EUR', amount, volumeBefore });
        if (appliesTo === 'payment') volumeBefore += amount;
        return fee;
      });
      const signed = items.map(({ kind, amount }) => ({ kind, amount: kind === 'payment' ? amount : -amount }));
      expect(await feesOf(rules, signed)).toEqual(expected);
    }),
    { numRuns: 60, seed: SEED },
  );
}, 120_000);

describe('a fee', () => {
  test('is rounded for each item, of two as near to the even one, and then what is fixed is added', async () => {
    const rules = [{ ...RULE, percentBps: 100, fixed: 25n }];
    const fees = await feesOf(
      rules,
      [50n, 150n, 250n, 10_000n].map((amount) => ({ kind: 'payment', amount })),
    );
    // 0.5, 1.5, 2.5 and 100; the second is more than the even one, and no fee is above its payment.
    expect(fees).toEqual([25n, 27n, 27n, 125n]);
    const third = [{ ...RULE, percentBps: 33 }];
    // 0.33 each: 10 of them are nothing, though 1 % of a third of their sum would be 3.
    expect(
      await feesOf(
        third,
        Array.from({ length: 10 }, () => ({ kind: 'payment', amount: 100n })),
      ),
    ).toEqual(Array.from({ length: 10 }, () => 0n));
  });

  test('begins to be another one with the item after that which reached the tier', async () => {
    const tiers = [0n, 1_000n, 2_000n].map((tierFrom, index) => ({ ...RULE, tierFrom, fixed: BigInt(index + 1) }));
    const amounts = [999n, 1n, 500n, 500n, 10n];
    expect(
      await feesOf(
        tiers,
        amounts.map((amount) => ({ kind: 'payment', amount })),
      ),
    ).toEqual([1n, 1n, 2n, 2n, 3n]);
  });

  test('that was charged comes back in proportion, and never more than all of it', async () => {
    const rules = [{ ...RULE, fixed: 5n }];
    const items: Item[] = [
      { kind: 'payment', amount: 100n },
      { kind: 'refund', amount: -50n },
      { kind: 'refund', amount: -50n },
      { kind: 'refund', amount: -50n },
      { kind: 'refund', amount: 50n },
      { kind: 'refund', amount: 50n },
      { kind: 'dispute', amount: -100n },
      { kind: 'dispute', amount: 100n },
      { kind: 'refund', amount: -100n, subject: 2n },
    ];
    // 2.5 is 2, then all of it; what is beyond all that was captured gives nothing back, nor costs anything.
    expect(await feesOf(rules, items, true)).toEqual([5n, -2n, -3n, 0n, 0n, 3n, 0n, 0n, 0n]);
    expect(await feesOf(rules, items)).toEqual([5n, 0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
  });

  test('comes back with a capture that failed, whatever the plan says of refunds', async () => {
    const rules = [{ ...RULE, fixed: 5n }];
    const items: Item[] = [60n, 40n, -60n].map((amount) => ({ kind: 'payment', amount }));
    expect(await feesOf(rules, items)).toEqual([5n, 5n, -6n]);
  });

  test('above what one entry holds is posted by several', async () => {
    const rules = [{ ...RULE, percentBps: 10_000 }];
    const amounts = [MAX_AMOUNT, MAX_AMOUNT, 5n];
    expect(
      await feesOf(
        rules,
        amounts.map((amount) => ({ kind: 'payment', amount })),
      ),
    ).toEqual(amounts);
  });
});
