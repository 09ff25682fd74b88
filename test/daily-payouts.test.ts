import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { type Json, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { NO_CALENDAR } from './support/no-calendar.js';
import { bankEnvironment, PayoutShop } from './support/payouts.js';
import { callBack, SmallBank } from './support/small-bank.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';
import { startWorker } from './support/worker.js';

const LIMIT_MS = 120_000;
const DAILY = { schedule: 'daily', destination: 'bank_daily' };

let bank: SmallBank;
let api: TestApi;
let bystander: Bystander;
let stopWorker: () => Promise<void>;
/** Settled before there was a worker to follow it. */
let early: PayoutShop;

beforeAll(async () => {
  bank = await SmallBank.open();
  api = await TestApi.start({ environment: bankEnvironment(bank) });
  bystander = await Bystander.open(api.on);
  await bystander.client.query(NO_CALENDAR);
  early = await shop(DAILY);
  await early.settle(700);
  stopWorker = await start();
}, LIMIT_MS);
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await stopWorker();
  await expectVerified(api.on);
  await bystander.close();
  await api.stop();
  await bank.close();
});

function start(): Promise<() => Promise<void>> {
  const own = { REDIS_URL: inject('redisUrl'), PAYOUT_POLL_MS: '50' };
  return startWorker(api.on, { ...bankEnvironment(bank), ...own });
}

async function shop(schedule?: object): Promise<PayoutShop> {
  const payouts = new PayoutShop(api, await api.merchant('EUR', 'USD'), bank, bystander);
  if (schedule) {
    await api.operator.request('PUT', `/v1/merchants/${payouts.shop.id}/payout_schedule`, { body: schedule });
  }
  return payouts;
}

const all = async ({ shop: { client } }: PayoutShop): Promise<Json[]> => (await client.get('/v1/payouts')).body.data;
const untilPaidOut = (payouts: PayoutShop): Promise<Json> =>
  until('it is paid out', async () => (await all(payouts))[0]);
const reachesReactor = ({ shop: { id } }: PayoutShop) =>
  until('the reactor is past its settlements', async () => {
    const { rows } = await bystander.client.query(
      `SELECT FROM events e LEFT JOIN consumer_positions p ON p.consumer = 'daily_payouts' AND p.partition = partition_of(e.merchant_id)
        WHERE e.merchant_id = $1 AND e.type = 'settlement.posted' AND (p.xid IS NULL OR (p.xid, p.seq) < (e.xid, e.seq))`,
      [id],
    );
    return rows.length === 0;
  });

test(
  'who is paid out by the day is, after each settlement, what is settled and not paid out, to the end',
  async () => {
    const payouts = await shop(DAILY);
    await payouts.settle(1_000);
    const [first] = await until('it is instructed', async () => {
      const found = await all(payouts);
      return found[0]?.status === 'instructed' && found;
    });
    expect(first).toMatchObject({ amount: '1000', currency: 'EUR', destination: 'bank_daily' });
    const key = payouts.keyOf(first as Json);
    bank.say(key, 'paid');
    await callBack(api, { key, status: 'paid', sequence: 2 });
    await until('it is paid', async () => (await all(payouts))[0]?.status === 'paid');
    await payouts.settle(300, 'USD');
    await until('so is the other currency', async () => (await all(payouts)).length === 2);
    expect((await all(payouts))[0]).toMatchObject({ amount: '300', currency: 'USD' });
    expect(await payouts.money()).toEqual(['0', '0', '-1000', '0']);
    expect(bank.instructed.filter((request) => request.includes(key))).toHaveLength(1);
  },
  LIMIT_MS,
);

test(
  'nothing is paid out of a settlement that takes, nor of a merchant who asks by hand',
  async () => {
    const daily = await shop(DAILY);
    await daily.settle(-100);
    const byHand = await shop({ schedule: 'manual', destination: 'bank_ok' });
    const unasked = await shop();
    for (const payouts of [byHand, unasked]) await payouts.settle(500);
    for (const payouts of [daily, byHand, unasked]) {
      await reachesReactor(payouts);
      expect(await all(payouts)).toEqual([]);
    }
    const letters = (await api.operator.get('/v1/dead_letters?consumer=daily_payouts')).body;
    expect(letters.data).toEqual([]);
    // What it owes comes off the next one.
    await daily.settle(250);
    expect((await untilPaidOut(daily)).amount).toBe('150');
  },
  LIMIT_MS,
);

test(
  'what was settled before anybody followed it is paid out with what is settled next',
  async () => {
    await reachesReactor(early);
    expect(await all(early)).toEqual([]);
    await early.settle(50);
    expect((await untilPaidOut(early)).amount).toBe('750');
  },
  LIMIT_MS,
);

test(
  'a settlement that nobody here understands holds up none after it: the next pays out both',
  async () => {
    const payouts = await shop(DAILY);
    await stopWorker();
    await payouts.settle(400);
    const setVersion = (version: number) =>
      bystander.client.query(`UPDATE events SET version = $2 WHERE merchant_id = $1 AND type = 'settlement.posted'`, [
        payouts.shop.id,
        version,
      ]);
    await setVersion(99);
    stopWorker = await start();
    const letters = async (): Promise<Json[]> =>
      (await api.operator.get(`/v1/dead_letters?consumer=daily_payouts`)).body.data;
    await until('it is a dead letter', async () => (await letters()).length === 1);
    await setVersion(1);
    await payouts.settle(100);
    expect((await untilPaidOut(payouts)).amount).toBe('500');
  },
  LIMIT_MS,
);
