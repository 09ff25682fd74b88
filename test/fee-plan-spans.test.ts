import { afterAll, beforeAll, expect, test } from 'vitest';
import { FeePlan, FeePlanAssignment, FeePlanVersionRow } from '#fees/fee-plan.entity.js';
import type { FeePlanSpan, FeeRule } from '#fees/fee-plan.js';
import { FeePlans } from '#fees/fee-plans.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import type { Entities } from '#platform/entities.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { entitiesOn } from './support/entities.js';
import { TestLedger } from './support/ledger.js';

const RULES: FeeRule[] = [
  { appliesTo: 'payment', currency: 'EUR', percentBps: 140, fixed: 25n, min: undefined, max: 9n ** 16n, tierFrom: 0n },
  { appliesTo: 'payout', currency: 'JPY', percentBps: 0, fixed: 0n, min: 0n, max: undefined, tierFrom: 5n },
];
const MARCH_MS = Date.UTC(2026, 2, 1, 12, 30, 0, 7);

let on: TestDatabase;
let ledger: TestLedger;
let entities: Entities;
let plans: FeePlans;
beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  entities = await entitiesOn(ledger.database);
  plans = new FeePlans(ledger.database, entities);
});
afterAll(async () => {
  await ledger.close();
  await on.drop();
});

const soon = () => Deadline.after(10_000);

async function makePlan(...validFrom: number[]): Promise<bigint> {
  const id = ledger.ids.next();
  await ledger.database.transaction('platform', soon(), async (client) => {
    const manager = entities.in(client);
    await manager.insert(FeePlan, { id, name: 'p', createdAtMs: snowflakeTimeMs(id) });
    for (const [index, validFromMs] of validFrom.entries()) {
      const version = { planId: id, version: index + 1, validFromMs, refundReturnsFee: index > 0, rules: RULES };
      await manager.insert(FeePlanVersionRow, version);
    }
  });
  return id;
}

async function assign(merchantId: bigint, ...rows: [planId: bigint, validFromMs: number][]): Promise<void> {
  await ledger.database.transaction({ merchantIds: [merchantId] }, soon(), async (client) => {
    for (const [planId, validFromMs] of rows) {
      await entities.in(client).insert(FeePlanAssignment, { merchantId, planId, validFromMs });
    }
  });
}

const shown = (spans: readonly FeePlanSpan[] | undefined) =>
  spans?.map(({ fromMs, plan }) => [fromMs, plan && [plan.planId, plan.version]]);

test('the spans of merchants are cut by their plans and the versions of these, to the millisecond', async () => {
  const [gold, basic] = [await makePlan(-Infinity, MARCH_MS), await makePlan(-Infinity)];
  const [none, one, two] = [
    await ledger.createMerchant(),
    await ledger.createMerchant(),
    await ledger.createMerchant(),
  ];
  await assign(one, [gold, -Infinity]);
  await assign(two, [basic, -Infinity], [gold, MARCH_MS + 1]);
  const spans = await plans.spansOf([none, one, two], soon());
  expect(shown(spans.get(none))).toEqual([[-Infinity, undefined]]);
  expect(shown(spans.get(one))).toEqual([
    [-Infinity, [gold, 1]],
    [MARCH_MS, [gold, 2]],
  ]);
  expect(shown(spans.get(two))).toEqual([
    [-Infinity, [basic, 1]],
    [MARCH_MS + 1, [gold, 2]],
  ]);
  const [first, second] = spans.get(one) ?? [];
  expect([first?.plan?.refundReturnsFee, second?.plan?.refundReturnsFee]).toEqual([false, true]);
  expect(first?.plan?.rules).toEqual(RULES);
  // One object for all: a settlement of many merchants keeps the rules of a version once.
  expect(spans.get(two)?.[1]?.plan).toBe(second?.plan);
});

test('of no merchants there are none', async () => {
  expect(await plans.spansOf([], soon())).toEqual(new Map());
});
