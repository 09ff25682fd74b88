import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { RULE, TestSettlement } from './support/settlement.js';

const DAY_MS = 86_400_000;
const NOON_MS = DAY_MS / 2;
/** Days of UTC, with which these merchants' days agree. */
const dateOf = (daysAgo: number): string => new Date(Date.now() - daysAgo * DAY_MS).toISOString().slice(0, 10);
const noonOf = (daysAgo: number): number => Date.parse(`${dateOf(daysAgo)}T00:00:00Z`) + NOON_MS;

let on: TestDatabase;
let settlement: TestSettlement;

beforeAll(async () => {
  on = await freshDatabase();
  settlement = await TestSettlement.open(on);
});
afterAll(async () => {
  await settlement.close();
  await on.drop();
});

const rowsOf = <Row extends Record<string, unknown>>(text: string, ...values: unknown[]): Promise<Row[]> =>
  asAdmin(on.ownerUrl, async (owner) => (await owner.query<Row>(text, values)).rows);

const settlementsOf = (merchantId: bigint) =>
  rowsOf(
    `SELECT business_date::text, currency, gross, refunds, disputes, other, adjustments, fees, net, items FROM settlements
      WHERE merchant_id = $1 ORDER BY business_date, currency`,
    String(merchantId),
  );

describe('a settled day', () => {
  test('has what happened in it, by kind, with its fees posted', async () => {
    const merchantId = await settlement.createMerchant({ createdAtMs: noonOf(3) });
    await settlement.charge(merchantId, [{ ...RULE, percentBps: 100, fixed: 25n }], true);
    await settlement.happen(
      merchantId,
      { kind: 'payment', amount: 10_000n, subject: 1n, atMs: noonOf(2) },
      { kind: 'refund', amount: -5_000n, subject: 1n, atMs: noonOf(2) },
      { kind: 'dispute', amount: -700n, subject: 1n, atMs: noonOf(2) },
      { kind: 'other', amount: 50n, atMs: noonOf(2) },
      { kind: 'payment', amount: 300n, subject: 2n, atMs: noonOf(1) },
    );
    expect(await settlement.settle([merchantId], dateOf(2))).toEqual([{ merchantId, outcome: 'settled' }]);
    expect(await settlementsOf(merchantId)).toMatchObject([
      {
        business_date: dateOf(2),
        currency: 'EUR',
        gross: '10000',
        refunds: '5000',
        disputes: '700',
        other: '50',
        adjustments: '0',
        // 1 % of 10,000 and 25, of which half came back: 62 of 125, to the even one.
        fees: '63',
        net: '4287',
        items: '4',
      },
    ]);
    expect(await settlement.settle([merchantId], dateOf(1))).toEqual([{ merchantId, outcome: 'settled' }]);
    expect(await settlement.settle([merchantId], dateOf(1))).toEqual([{ merchantId, outcome: 'settled' }]);
    expect(await settlement.settle([merchantId], dateOf(0))).toEqual([{ merchantId, outcome: 'not_due' }]);
    expect((await settlementsOf(merchantId)).map(({ fees, net }) => [fees, net])).toEqual([
      ['63', '4287'],
      ['28', '272'],
    ]);
  });
});
