import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, type Json, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { bankEnvironment, PayoutShop } from './support/payouts.js';
import { SmallBank } from './support/small-bank.js';
import { expectVerified } from './support/verified.js';

const LIMIT_MS = 60_000;
const AT_ONCE = 64;

let bank: SmallBank;
let apis: TestApi[];
let bystander: Bystander;
let payouts: PayoutShop;

beforeAll(async () => {
  bank = await SmallBank.open();
  const first = await TestApi.start({ environment: bankEnvironment(bank) });
  apis = [first, await TestApi.start({ on: first.on, environment: bankEnvironment(bank) })];
  bystander = await Bystander.open(first.on);
});
beforeEach(async () => {
  const first = apis[0] as TestApi;
  payouts = new PayoutShop(first, await first.merchant('EUR'), bank, bystander);
});
afterEach(() => {
  for (const api of apis) expect(api.errors).toEqual([]);
});
afterAll(async () => {
  await expectVerified((apis[0] as TestApi).on);
  await bystander.close();
  for (const api of apis.toReversed()) await api.stop();
  await bank.close();
});

/** As many requests as that at once, through one process and the other. */
function rush(bodyOf: (index: number) => object, keyOf: () => string = () => randomUUID()): Promise<Answer[]> {
  const ways = apis.map((api) => payouts.shop.via(api).client);
  return Promise.all(
    Array.from({ length: AT_ONCE }, (_, index) => {
      const body = { currency: 'EUR', destination: 'bank_ok', ...bodyOf(index) };
      return (ways[index % ways.length] as (typeof ways)[0]).post('/v1/payouts', { body, key: keyOf() });
    }),
  );
}

const count = (answers: readonly Answer[]): Record<string, number> =>
  Object.fromEntries(
    [...Map.groupBy(answers, ({ status, body }) => String(body.code ?? status))].map(([name, all]) => [
      name,
      all.length,
    ]),
  );
const sum = (payouts: readonly Json[]): number => payouts.reduce((total, { amount }) => total + Number(amount), 0);
const all = async (): Promise<Json[]> => (await payouts.shop.client.get('/v1/payouts?limit=1000')).body.data;

describe('two processes, 64 requests at once,', () => {
  test('never reserve more than was settled', { timeout: LIMIT_MS }, async () => {
    await payouts.settle(1_000);
    expect(count(await rush(() => ({ amount: '90' })))).toEqual({ 202: 11, insufficient_funds: AT_ONCE - 11 });
    expect(await payouts.money()).toEqual(['10', '990', '0', '10']);
    expect(sum(await all())).toBe(990);
  });

  test('without an amount: one has all of it', { timeout: LIMIT_MS }, async () => {
    await payouts.settle(1_000);
    expect(count(await rush(() => ({})))).toEqual({ 202: 1, insufficient_funds: AT_ONCE - 1 });
    expect((await all()).map(({ amount }) => amount)).toEqual(['1000']);
  });

  test('under one key: one payout, which all are told', { timeout: LIMIT_MS }, async () => {
    await payouts.settle(1_000);
    const key = randomUUID();
    const answers = await rush(
      () => ({ amount: '10' }),
      () => key,
    );
    const told = answers.filter(({ status }) => status === 202);
    expect(new Set(told.map(({ body }) => body.id)).size).toBe(1);
    expect(answers.filter(({ status, body }) => status !== 202 && body.code !== 'idempotency_in_flight')).toEqual([]);
    expect(await all()).toHaveLength(1);
  });

  test('beside settlements and what the bank says of others: what is paid out is never more than was settled', {
    timeout: LIMIT_MS,
  }, async () => {
    await payouts.settle(1_000);
    const failing = await payouts.instructed({ amount: '400' });
    bank.say(payouts.keyOf(failing), 'failed', 'technical');
    await payouts.makeDue();
    const [answers] = await Promise.all([
      rush(() => ({ amount: '70' })),
      payouts.saga().onTheWay.round(),
      payouts.settle(500),
    ]);
    expect((await payouts.get(failing.id)).status).toBe('failed');
    const accepted = answers.filter(({ status }) => status === 202).length;
    expect(accepted).toBeGreaterThanOrEqual(Math.floor(600 / 70));
    expect(accepted).toBeLessThanOrEqual(Math.floor(1_500 / 70));
    // Whatever came first, what is left is left for those who ask afterwards.
    await rush(() => ({ amount: '70' }));
    expect(sum((await all()).filter(({ status }) => status === 'reserved'))).toBe(70 * Math.floor(1_500 / 70));
    expect(await payouts.money()).toEqual(['30', '1470', '0', '30']);
  });
});
