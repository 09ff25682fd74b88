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

const linesOf = (merchantId: bigint) =>
  rowsOf(
    `SELECT l.kind, l.amount, l.business_date::text, s.business_date::text AS settled_on
       FROM settlement_lines l JOIN settlements s ON s.merchant_id = $1 AND s.id = l.settlement_id
      WHERE l.merchant_id = $1 AND l.kind <> 'fees' ORDER BY l.account_version`,
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

  test('is never added to: what is told late is an adjustment of a later day, labelled with its own', async () => {
    const merchantId = await settlement.createMerchant({ createdAtMs: noonOf(3) });
    await settlement.happen(
      merchantId,
      { kind: 'payment', amount: 100n, subject: 1n, atMs: noonOf(2) },
      { kind: 'payment', amount: 40n, subject: 2n, atMs: noonOf(1) },
    );
    await settlement.settle([merchantId], dateOf(2));
    const closed = await settlementsOf(merchantId);
    await settlement.happen(merchantId, { kind: 'refund', amount: -30n, subject: 1n, atMs: noonOf(2) });
    await settlement.settle([merchantId], dateOf(2));
    expect(await settlementsOf(merchantId)).toEqual(closed);
    await settlement.settle([merchantId], dateOf(1));
    expect(await settlementsOf(merchantId)).toMatchObject([
      { business_date: dateOf(2), gross: '100', adjustments: '0', net: '100', items: '1' },
      { business_date: dateOf(1), gross: '40', refunds: '0', adjustments: '-30', net: '10', items: '2' },
    ]);
    expect(await linesOf(merchantId)).toEqual([
      { kind: 'payment', amount: '100', business_date: dateOf(2), settled_on: dateOf(2) },
      { kind: 'payment', amount: '40', business_date: dateOf(1), settled_on: dateOf(1) },
      { kind: 'refund', amount: '-30', business_date: dateOf(2), settled_on: dateOf(1) },
    ]);
  });

  test('has before it all days that were missed, in their order, but for those in which nothing happened', async () => {
    const merchantId = await settlement.createMerchant({ createdAtMs: noonOf(40) });
    await settlement.happen(
      merchantId,
      { kind: 'other', amount: 1n, atMs: noonOf(30) },
      { kind: 'other', amount: 3n, atMs: noonOf(5) },
      { kind: 'other', amount: 2n, atMs: noonOf(29) },
    );
    expect(await settlement.settle([merchantId], dateOf(4))).toEqual([{ merchantId, outcome: 'empty' }]);
    expect((await settlementsOf(merchantId)).map((one) => [one.business_date, one.net])).toEqual([
      [dateOf(30), '1'],
      [dateOf(29), '2'],
      [dateOf(5), '3'],
    ]);
    const outcomes = [30, 20, 5, 4].map((ago) => settlement.settle([merchantId], dateOf(ago)));
    expect((await Promise.all(outcomes)).flat().map(({ outcome }) => outcome)).toEqual([
      'settled',
      'empty',
      'settled',
      'empty',
    ]);
  });

  test('is none before the merchant, nor before the first that was settled', async () => {
    const merchantId = await settlement.createMerchant({ createdAtMs: noonOf(3) });
    const [early] = await settlement.settle([merchantId], dateOf(4));
    expect(early).toMatchObject({ outcome: 'not_due', problem: { code: 'validation_failed' } });
    expect(await settlement.settle([merchantId], dateOf(2))).toEqual([{ merchantId, outcome: 'empty' }]);
    await settlement.happen(merchantId, { kind: 'other', amount: 7n, atMs: noonOf(9) });
    const [late] = await settlement.settle([merchantId], dateOf(9));
    expect(late).toMatchObject({ outcome: 'failed', problem: { code: 'invalid_transition' } });
    await settlement.settle([merchantId], dateOf(1));
    expect(await settlementsOf(merchantId)).toMatchObject([{ business_date: dateOf(1), adjustments: '7', other: '0' }]);
  });

  test('of a merchant opened today may be one of before, when something happened in it', async () => {
    const merchantId = await settlement.createMerchant();
    await settlement.happen(merchantId, { kind: 'other', amount: 7n, atMs: noonOf(2) });
    expect(await settlement.settle([merchantId], dateOf(2))).toEqual([{ merchantId, outcome: 'settled' }]);
  });

  test('charges nothing for what others gave back more of, and posts that from the other side', async () => {
    const merchantId = await settlement.createMerchant({ createdAtMs: noonOf(3) });
    await settlement.charge(merchantId, [{ ...RULE, fixed: 10n }], true);
    await settlement.happen(merchantId, { kind: 'payment', amount: 100n, subject: 1n, atMs: noonOf(2) });
    await settlement.settle([merchantId], dateOf(2));
    await settlement.happen(merchantId, { kind: 'refund', amount: -100n, subject: 1n, atMs: noonOf(1) });
    await settlement.settle([merchantId], dateOf(1));
    expect((await settlementsOf(merchantId)).map(({ fees, net }) => [fees, net])).toEqual([
      ['10', '90'],
      ['-10', '-90'],
    ]);
    const revenue = `SELECT b.posted_credits, b.posted_debits FROM balances b JOIN accounts a ON a.merchant_id = $1 AND a.id = b.account_id
                      WHERE b.merchant_id = $1 AND a.code = 'fee_revenue:EUR'`;
    expect(await rowsOf(revenue, String(merchantId))).toEqual([{ posted_credits: '10', posted_debits: '10' }]);
  });
});

test('an account at which nothing happens any more is not looked at again', async () => {
  const merchantId = await settlement.createMerchant({ createdAtMs: noonOf(3) });
  await settlement.charge(merchantId, [{ ...RULE, fixed: 10n }]);
  await settlement.happen(merchantId, { kind: 'payment', amount: 100n, subject: 1n, atMs: noonOf(2) });
  await settlement.settle([merchantId], dateOf(2));
  const reach = `SELECT s.looked_through, s.taken_through, b.version FROM settled_balances s
                   JOIN accounts a ON a.merchant_id = $1 AND a.code = 'merchant_payable:' || s.currency
                   JOIN balances b ON b.merchant_id = $1 AND b.account_id = a.id WHERE s.merchant_id = $1`;
  expect(await rowsOf(reach, String(merchantId))).toEqual([{ looked_through: '2', taken_through: '2', version: '2' }]);
});
