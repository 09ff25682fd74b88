import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { UnansweredPayouts } from '#payouts/unanswered-payouts.js';
import { Metrics } from '#platform/metrics.js';
import { Database } from '#platform/postgres.js';
import { freePort } from '../scripts/ports.mjs';
import { type Json, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { readingOf } from './support/metrics.js';
import { bankEnvironment, PayoutShop } from './support/payouts.js';
import { callBack, SmallBank } from './support/small-bank.js';

const HOUR_MS = 3_600_000;

let bank: SmallBank;
let api: TestApi;
let bystander: Bystander;

beforeAll(async () => {
  bank = await SmallBank.open();
  const METRICS_PORT = String(await freePort());
  api = await TestApi.start({ environment: { ...bankEnvironment(bank), METRICS_PORT } });
  bystander = await Bystander.open(api.on);
});
afterAll(async () => {
  await bystander.close();
  await api.stop();
  await bank.close();
});

test('what is on its way is counted, and since when; what came of it, what the bank was asked, and what it called, too', async () => {
  const payouts = new PayoutShop(api, await api.merchant('EUR'), bank, bystander);
  await payouts.settle(1_000);
  const [payout, later, saga] = [
    await payouts.reserved({ amount: '400' }),
    await payouts.reserved({ amount: '600' }),
    payouts.saga(),
  ];
  const nowMs = Date.now() + HOUR_MS;
  const unanswered = new UnansweredPayouts(api.app.get(Database), { ...systemClock, now: () => nowMs });
  const ageS = ({ id }: Json): number => (nowMs - snowflakeTimeMs(BigInt(id))) / 1_000;
  const metrics = new Metrics();
  unanswered.addMetrics(metrics);
  const waiting = async () => {
    await unanswered.look();
    const text = await metrics.text();
    return ['', '_oldest_seconds'].map((name) => readingOf(text, `counterfoil_payouts_unanswered${name}`) ?? -1);
  };
  expect(await waiting()).toEqual([2, ageS(payout)]);
  await saga.onTheWay.round();
  expect(saga.requests).toEqual({
    ask: { known: 0, absent: 2, unknown: 0 },
    instruct: { accepted: 2, refused: 0, unknown: 0 },
  });
  const key = payouts.keyOf(payout);
  bank.say(key, 'paid');
  await callBack(api, { key });
  await callBack(api, { key: 'x' });
  await callBack(api, '[]');
  await callBack(api, { key }, { atMs: 0 });
  await callBack(api, { key }, { sent: '{}' });
  await saga.hinted.round();
  expect(await waiting()).toEqual([1, ageS(later)]);
  bank.say(payouts.keyOf(later), 'failed');
  await payouts.follow();
  expect(await waiting()).toEqual([0, 0]);
  const text = await api.metrics();
  const told = (name: string, label: string, values: readonly string[]) =>
    values.map((value) => readingOf(text, `counterfoil_${name}{${label}="${value}"}`));
  expect(told('payouts_total', 'status', ['reserved', 'instructed', 'paid', 'failed'])).toEqual([2, 2, 1, 1]);
  const outcomes = ['heeded', 'unknown', 'unreadable', 'stale', 'wrong_signature', 'unsigned'];
  expect(told('bank_callbacks_total', 'outcome', outcomes)).toEqual([1, 1, 1, 1, 1, 0]);
});
