import { trace } from '@opentelemetry/api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FeePlanVersionRow } from '#fees/fee-plan.entity.js';
import { FeePlans } from '#fees/fee-plans.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import type { Entities } from '#platform/entities.js';
import { type SettleResult, Settler } from '#settlement/settler.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { entitiesOn } from './support/entities.js';
import { RULE, TestSettlement } from './support/settlement.js';

const DAY_MS = 86_400_000;
const dateOf = (daysAgo: number): string => new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10);
const midnightOf = (daysAgo: number): number => Date.parse(`${dateOf(daysAgo)}T00:00:00Z`);
const noonOf = (daysAgo: number): number => midnightOf(daysAgo) + DAY_MS / 2;

let on: TestDatabase;
let settlement: TestSettlement;
let entities: Entities;
beforeAll(async () => {
  on = await freshDatabase();
  settlement = await TestSettlement.open(on);
  entities = await entitiesOn(settlement.ledger.database);
});
afterAll(async () => {
  await settlement.close();
  await on.drop();
});

/** Settles as a process does that is told of plans in this way. */
function settleTold(merchantId: bigint, date: string, spansOf: FeePlans['spansOf']): Promise<SettleResult[]> {
  const { database, writer, ids } = settlement.ledger;
  const plans = Object.assign(new FeePlans(database, entities), { spansOf });
  const parts = { database, writer, ids, system: settlement.system, plans, chunkEntries: 10, stepTimeoutMs: 30_000 };
  const span = trace.wrapSpanContext({ traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 });
  return new Settler(parts).settle([merchantId], date, { deadline: Deadline.after(60_000), span, cost: new Cost() });
}

test('a day is charged by the plans of when it was begun, also by who was asked before', async () => {
  const plans = new FeePlans(settlement.ledger.database, entities);
  const merchantId = await settlement.createMerchant({ createdAtMs: noonOf(3) });
  const planId = await settlement.charge(merchantId, [{ ...RULE, fixed: 10n }]);
  const paid = (subject: bigint, daysAgo: number) =>
    ({ kind: 'payment', amount: 1_000n, subject, atMs: noonOf(daysAgo) }) as const;
  await settlement.happen(merchantId, paid(1n, 2), paid(2n, 1));

  /** Others close the first day; a version is added; others begin the second day, and die. */
  const meanwhile = async (): Promise<void> => {
    expect(await settlement.settle([merchantId], dateOf(2))).toEqual([{ merchantId, outcome: 'settled' }]);
    const rules = [{ ...RULE, fixed: 20n }];
    const version = { planId, version: 2, validFromMs: midnightOf(1), refundReturnsFee: false, rules };
    await settlement.ledger.database.transaction('platform', Deadline.after(5_000), (client) =>
      entities.in(client).insert(FeePlanVersionRow, version),
    );
    const dying = settleTold(merchantId, dateOf(1), () => Promise.reject(new Error('killed')));
    await expect(dying).rejects.toThrow('killed');
  };
  let asked = 0;
  const outcome = await settleTold(merchantId, dateOf(1), async (...of) => {
    const told = await plans.spansOf(...of);
    asked += 1;
    if (asked === 1) await meanwhile();
    return told;
  });
  expect(outcome).toEqual([{ merchantId, outcome: 'settled' }]);
  const text = `SELECT fee_plan_version, fee FROM settlement_lines WHERE merchant_id = $1 AND kind = 'payment' ORDER BY account_version`;
  const { rows } = await asAdmin(on.ownerUrl, (owner) => owner.query(text, [merchantId]));
  expect(rows).toEqual([
    { fee_plan_version: 1, fee: '10' },
    { fee_plan_version: 2, fee: '20' },
  ]);
});
