import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { closeReport, lookAgain } from '#reconciliation/closing/close-report.js';
import type { MatchedReport } from '#reconciliation/matching/match-report.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { BANK, NOON_MS, PERIOD, TestMatching } from './support/matching.js';

const DAY_MS = 86_400_000;
const GENERIC = { source: 'generic', provider: undefined };

let on: TestDatabase;
let matching: TestMatching;

beforeAll(async () => {
  on = await freshDatabase();
  matching = await TestMatching.open(on);
});
afterAll(async () => {
  await matching.close();
  await on.drop();
});

const within = (): Deadline => Deadline.after(30_000);

/** A report of the days around noon that tells nothing. */
async function reconcile(merchantId: bigint, more: Partial<MatchedReport> = {}): Promise<MatchedReport> {
  const report = await matching.stage(merchantId, [], { ...PERIOD, ...more });
  await closeReport(matching.matching, report, within);
  return report;
}

const foundIn = async (merchantId: bigint): Promise<string[]> =>
  (await matching.breaksOf(merchantId)).map(({ item, status }) => `${item} ${status}`);

test('what failed or was won meanwhile nobody has to tell any more: its break ends with the next report', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const captures = [{ ref: 'c', amount: 1_000 }];
  const [refund, dispute] = [
    { ref: 'r', amount: 300 },
    { ref: 'd', amount: 200 },
  ];
  const ofStripe = { provider: 'stripe', ref: 'P', refunds: [{ ref: 's', amount: 7 }] };
  await matching.pay(merchantId, { ref: 'P', captures, refunds: [refund], disputes: [dispute] });
  await matching.pay(merchantId, ofStripe);
  await reconcile(merchantId, GENERIC);
  expect(await foundIn(merchantId)).toEqual(['dispute/d open', 'payment/c open', 'refund/r open', 'refund/s open']);
  const refunds = [{ ...refund, status: 'failed' as const }];
  await matching.change(merchantId, { ref: 'P', captures, refunds, disputes: [{ ...dispute, outcome: 'won' }] });
  await matching.change(merchantId, { ...ofStripe, refunds: [{ ref: 's', amount: 7, status: 'reversed' }] });
  const report = await reconcile(merchantId);
  await lookAgain(matching.matching, report, within);
  // A report of Adyen's says nothing of what is Stripe's.
  expect(await foundIn(merchantId)).toEqual([
    'dispute/d auto_resolved',
    'payment/c open',
    'refund/r auto_resolved',
    'refund/s open',
  ]);
  const [told] = await matching.read<{ ended: number }>(merchantId, {
    text: `SELECT count(*)::int AS ended FROM events WHERE merchant_id = $1 AND type = 'break.resolved'`,
    values: [merchantId],
  });
  expect(told?.ended).toBe(2);
});

async function payOut(merchantId: bigint, amount: number): Promise<bigint> {
  const id = matching.ledger.ids.next();
  const at = new Date(NOON_MS).toISOString();
  await matching.write(merchantId, {
    text: `INSERT INTO payouts (merchant_id, id, created_at, amount, currency, fee, destination, status, transactions, timeline)
           VALUES ($1, $2, snowflake_time($2), $3, 'EUR', 0, 'd', 'paid', '{}', $4)`,
    values: [merchantId, id, amount, JSON.stringify([{ status: 'paid', at }])],
  });
  return id;
}

async function fail(merchantId: bigint, payoutId: bigint): Promise<void> {
  const text = `UPDATE payouts SET status = 'failed' WHERE merchant_id = $1 AND id = $2`;
  await matching.write(merchantId, { text, values: [merchantId, payoutId] });
}

test('a payout that was paid and failed after all is on no statement', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const [failed, paid] = [await payOut(merchantId, 700), await payOut(merchantId, 80)];
  // Payouts have the ids of today, and happened at noon.
  await reconcile(merchantId, { ...BANK, periodToMs: Date.now() + DAY_MS });
  expect(await foundIn(merchantId)).toEqual([`payout/${failed} open`, `payout/${paid} open`]);
  await fail(merchantId, failed);
  await reconcile(merchantId, BANK);
  expect(await foundIn(merchantId)).toEqual([`payout/${failed} auto_resolved`, `payout/${paid} open`]);
});

test('it is found behind others that are still due, more than are looked at at once', async () => {
  const merchantId = await matching.ledger.createMerchant();
  const [paid, failed] = [await payOut(merchantId, 80), await payOut(merchantId, 700)];
  await reconcile(merchantId, { ...BANK, periodToMs: Date.now() + DAY_MS });
  await fail(merchantId, failed);
  const report = await matching.stage(merchantId, [], BANK);
  await closeReport({ ...matching.matching, breaksAtOnce: 1 }, report, within);
  expect(await foundIn(merchantId)).toEqual([`payout/${paid} open`, `payout/${failed} auto_resolved`]);
});
