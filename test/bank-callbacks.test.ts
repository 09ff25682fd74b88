import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { bankEnvironment, PayoutShop } from './support/payouts.js';
import { callBack, SmallBank } from './support/small-bank.js';
import { expectVerified } from './support/verified.js';

const OTHER_SECRET = `whsec_${Buffer.alloc(32, 8).toString('base64')}`;
const MINUTE_MS = 60_000;

let bank: SmallBank;
let api: TestApi;
let bystander: Bystander;
let payouts: PayoutShop;

beforeAll(async () => {
  bank = await SmallBank.open();
  api = await TestApi.start({ environment: bankEnvironment(bank) });
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
});
beforeEach(async () => {
  payouts = new PayoutShop(api, await api.merchant('EUR'), bank, bystander);
  await payouts.settle(1_000);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await bystander.close();
  await api.stop();
  await bank.close();
});

const statusOf = async ({ id }: { id: string }): Promise<string> => (await payouts.get(id)).status;

describe('a callback of the bank', () => {
  test('has it asked at once, and what it then answers counts', async () => {
    const payout = await payouts.instructed();
    const key = payouts.keyOf(payout);
    expect(await payouts.due()).toEqual([['payout', 1]]);
    bank.say(key, 'paid');
    const answer = await callBack(api, { key, status: 'paid', sequence: 2 });
    expect([answer.status, answer.body]).toEqual([200, { received: true }]);
    expect(await payouts.due()).toEqual([
      ['payout', 1],
      ['payout_hint', 0],
    ]);
    expect(await statusOf(payout)).toBe('instructed');
    await payouts.saga().hinted.round();
    expect(await statusOf(payout)).toBe('paid');
  });

  test('that says something else than the bank does when it is asked changes nothing', async () => {
    const payout = await payouts.instructed();
    const key = payouts.keyOf(payout);
    for (const status of ['paid', 'failed', 'returned']) {
      expect((await callBack(api, { key, status, sequence: 9 })).status).toBe(200);
      await payouts.saga().hinted.round();
      expect(await statusOf(payout)).toBe('instructed');
    }
    expect(await payouts.money()).toEqual(['0', '1000', '0', '0']);
    // The higher sequence was its callback's, not the bank's.
    bank.say(key, 'paid');
    await payouts.follow();
    expect(await statusOf(payout)).toBe('paid');
  });

  test('again has no second effect', async () => {
    const payout = await payouts.instructed();
    const key = payouts.keyOf(payout);
    bank.say(key, 'paid');
    for (let time = 0; time < 3; time += 1) {
      expect((await callBack(api, { key, status: 'paid', sequence: 2 })).status).toBe(200);
      await payouts.saga().hinted.round();
    }
    expect((await payouts.get(payout.id)).transactions).toHaveLength(2);
    expect(await payouts.money()).toEqual(['0', '0', '-1000', '0']);
    expect(await payouts.due()).toEqual([['payout_watch', 24 * 60]]);
    expect(bank.instructed.filter((request) => request.includes(key))).toHaveLength(1);
  });

  test('that comes while what the bank said before is being posted is heeded afterwards', async () => {
    const payout = await payouts.instructed();
    const key = payouts.keyOf(payout);
    bank.say(key, 'failed', 'technical');
    await payouts.makeDue();
    let isCalledBack = false;
    bank.beforeAnswer = async () => {
      if (isCalledBack) return;
      isCalledBack = true;
      bank.say(key, 'paid');
      expect((await callBack(api, { key, status: 'paid', sequence: 3 })).status).toBe(200);
    };
    await payouts.saga().onTheWay.round();
    expect(await statusOf(payout)).toBe('failed');
    await payouts.saga().hinted.round();
    expect(await statusOf(payout)).toBe('paid');
  });

  test('a year after the payout was paid is heeded', async () => {
    const payout = await payouts.instructed();
    const key = payouts.keyOf(payout);
    bank.say(key, 'paid');
    await payouts.follow();
    await payouts.makeDue();
    await payouts.saga({ aheadMs: 31 * 86_400_000 }).watched.round();
    expect(await payouts.due()).toEqual([]);
    bank.say(key, 'returned', 'account_closed');
    expect((await callBack(api, { key, status: 'returned', sequence: 3 })).status).toBe(200);
    await payouts.saga().hinted.round();
    expect(await statusOf(payout)).toBe('returned');
    expect((await callBack(api, { key, status: 'returned', sequence: 3 })).status).toBe(200);
    await payouts.saga().hinted.round();
    expect(await payouts.due()).toEqual([]);
  });

  test('that is forged, stale, or not signed at all is refused in the same words, and nobody is asked', async () => {
    const payout = await payouts.instructed();
    const body = { key: payouts.keyOf(payout), status: 'paid', sequence: 2 };
    const late = Date.now() - 6 * MINUTE_MS;
    const answers = [
      await callBack(api, body, { secret: OTHER_SECRET }),
      await callBack(api, body, { atMs: late }),
      await callBack(api, body, { atMs: Date.now() + 6 * MINUTE_MS }),
      await api.client().post('/v1/bank/callbacks', { body }),
    ];
    for (const { status, body } of answers) {
      expect([status, body.code, body.detail]).toEqual([
        401,
        'unauthorized',
        'No callback with this signature is expected here now.',
      ]);
    }
    expect(await payouts.due()).toEqual([['payout', 1]]);
  });

  test('whose body was changed on the way is refused', async () => {
    const payout = await payouts.instructed();
    const signed = JSON.stringify({ key: payouts.keyOf(payout), status: 'paid', sequence: 2 });
    expect((await callBack(api, signed, { sent: signed.replace('paid', 'failed') })).status).toBe(401);
    expect(await payouts.due()).toEqual([['payout', 1]]);
    expect((await callBack(api, signed)).status).toBe(200);
  });

  test('of something unknown is not found, and not told why; what cannot be read is malformed', async () => {
    const payout = await payouts.instructed();
    const other = await api.merchant();
    for (const key of [
      '1',
      '1-1',
      `${other.id}-${payout.id}`,
      `${payouts.keyOf(payout)}-1`,
      '',
      'x-y',
      '9'.repeat(300),
    ]) {
      const answer = await callBack(api, { key, status: 'paid', sequence: 2 });
      expect([answer.status, answer.body.code, answer.body.detail]).toEqual([
        404,
        'not_found',
        'There is no such payout.',
      ]);
    }
    for (const body of ['{', '[]', '{}', '{"key":1}', '"x"']) {
      const answer = await callBack(api, body);
      expect([answer.status, answer.body.code]).toEqual([400, 'malformed_json']);
    }
    expect(await payouts.due()).toEqual([['payout', 1]]);
  });
});

test('how old a callback may be is configured', async () => {
  const strict = await TestApi.start({ on: api.on, environment: { ...bankEnvironment(bank), BANK_TOLERANCE_S: '60' } });
  try {
    const body = { key: payouts.keyOf(await payouts.instructed()), status: 'paid', sequence: 2 };
    const [old, young] = [Date.now() - 2 * MINUTE_MS, Date.now() - MINUTE_MS / 2];
    expect((await callBack(strict, body, { atMs: old })).status).toBe(401);
    expect((await callBack(api, body, { atMs: old })).status).toBe(200);
    expect((await callBack(strict, body, { atMs: young })).status).toBe(200);
  } finally {
    await strict.stop();
  }
});

test('without a secret nobody’s callback is taken', async () => {
  const alone = await TestApi.start({ on: api.on });
  try {
    const payout = await payouts.instructed();
    const answer = await callBack(alone, { key: payouts.keyOf(payout), status: 'paid', sequence: 2 });
    expect(answer.status).toBe(401);
  } finally {
    await alone.stop();
  }
});
