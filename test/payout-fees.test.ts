import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FeeRule } from '#fees/fee-plan.js';
import { systemClock } from '#kernel/clock.js';
import type { BankWord } from '#payouts/status.js';
import { Deadline } from '#platform/deadline.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { RULE, TestSettlement } from './support/settlement.js';
import { TestPayouts } from './support/test-payouts.js';
import { expectVerified } from './support/verified.js';

const DAY_MS = 86_400_000;
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

let on: TestDatabase;
/** Its days end before they do. */
let settlement: TestSettlement;
let payouts: TestPayouts;

beforeAll(async () => {
  on = await freshDatabase();
  settlement = await TestSettlement.open(on, { clock: { ...systemClock, now: () => Date.now() + 2 * DAY_MS } });
  payouts = await TestPayouts.of(settlement.ledger);
});
afterAll(async () => {
  await expectVerified(on);
  await settlement.close();
  await on.drop();
});

async function read(merchantId: bigint, text: string): Promise<Record<string, unknown>[]> {
  const query = { text, values: [merchantId] };
  return settlement.ledger.database.read({ merchantIds: [merchantId] }, Deadline.after(20_000), query);
}

/** With 10,000 settled, of yesterday. */
async function charged(...rules: readonly Partial<FeeRule>[]): Promise<bigint> {
  const merchant = await settlement.createMerchant();
  if (rules.length > 0) {
    await settlement.charge(
      merchant,
      rules.map((rule) => ({ ...RULE, appliesTo: 'payout', ...rule })),
    );
  }
  await settlement.happen(merchant, { kind: 'other', amount: 10_000n, atMs: Date.now() - DAY_MS });
  await settlement.settle([merchant], dayOf(Date.now() - DAY_MS));
  return merchant;
}

/** What the settlement of today charges and comes to. */
async function settledToday(merchant: bigint): Promise<[unknown, unknown]> {
  const today = dayOf(Date.now());
  await settlement.settle([merchant], today);
  const rows = await read(
    merchant,
    `SELECT fees::text, net::text FROM settlements WHERE merchant_id = $1 AND business_date = '${today}'`,
  );
  return [rows[0]?.fees, rows[0]?.net];
}

const feeOf = async (merchant: bigint) =>
  (await read(merchant, 'SELECT fee::text FROM payouts WHERE merchant_id = $1'))[0]?.fee;

test.each<[BankWord[], string | undefined]>([
  [[], '75'],
  [['accepted', 'paid'], '75'],
  [['accepted', 'returned'], '75'],
  [['accepted', 'failed'], '0'],
  [['accepted', 'failed', 'paid'], '75'],
])('a payout is charged once by the settlement after it, and not where it failed: %j', async (words, fees) => {
  const merchant = await charged({ fixed: 25n, percentBps: 100 });
  const id = await payouts.request(merchant, 5_000n);
  for (const [index, word] of words.entries()) await payouts.tell(merchant, id, word, index + 1);
  expect(await feeOf(merchant)).toBe('75');
  expect(await settledToday(merchant)).toEqual([fees, String(-Number(fees))]);
});

/** As the settlements of a month have counted it. */
function setVolumes(merchantId: bigint, volumes: Record<string, number>, month = dayOf(Date.now()).slice(0, 7)) {
  return settlement.ledger.database.write({ merchantIds: [merchantId] }, Deadline.after(20_000), {
    text: `INSERT INTO fee_volumes SELECT $1, currency, $2::date, gross::bigint FROM json_each_text($3) AS v (currency, gross)
               ON CONFLICT (merchant_id, currency, month) DO UPDATE SET gross = excluded.gross`,
    values: [merchantId, `${month}-01`, JSON.stringify(volumes)],
  });
}

test.each([
  [{ EUR: 19_999 }, '100'],
  [{ EUR: 20_000 }, '10'],
  [{ USD: 20_000 }, '100'],
  [{ BHD: 20_000, EUR: 19_999, USD: 20_000 }, '100'],
  [{ BHD: 0, EUR: 20_000, USD: 0 }, '10'],
])(
  'the rule is that of the gross volume of the month in the payout’s currency, as far as it is settled: %j',
  async (volumes, fee) => {
    const merchant = await charged({ fixed: 100n }, { fixed: 10n, tierFrom: 20_000n }, { fixed: 1n, currency: 'USD' });
    await setVolumes(merchant, volumes);
    await setVolumes(merchant, { EUR: 99_999 }, '2001-01');
    await payouts.request(merchant, 1n);
    expect(await feeOf(merchant)).toBe(fee);
    await setVolumes(merchant, { BHD: 0, EUR: 0, USD: 0 });
    await setVolumes(merchant, { EUR: 0 }, '2001-01');
  },
);

test('of the plan’s versions that counts which is in force when the payout is asked for', async () => {
  const merchant = await charged();
  const versions = [-2, -1, 1, 2].map((days, index) => ({
    validFromMs: Date.now() + days * DAY_MS,
    refundReturnsFee: false,
    rules: [{ ...RULE, appliesTo: 'payout', fixed: BigInt(index + 1) } as const],
  }));
  await settlement.chargeBy(merchant, versions);
  await payouts.request(merchant, 1n);
  expect(await feeOf(merchant)).toBe('2');
});
