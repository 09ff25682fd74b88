import { randomUUID } from 'node:crypto';
import { CommandBus } from '@nestjs/cqrs';
import { trace } from '@opentelemetry/api';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TellPayoutCommand } from '#payouts/payout.commands.js';
import { type BankWord, STORED_STATUSES, type StoredStatus } from '#payouts/status.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import { type Json, TestApi, transfer } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { bankEnvironment, PayoutShop } from './support/payouts.js';
import { SmallBank } from './support/small-bank.js';
import { expectVerified } from './support/verified.js';

let bank: SmallBank;
let api: TestApi;
let bystander: Bystander;
let payouts: PayoutShop;
let contract: Contract;

beforeAll(async () => {
  bank = await SmallBank.open();
  api = await TestApi.start({ environment: bankEnvironment(bank) });
  contract = await Contract.hold(api);
  bystander = await Bystander.open(api.on);
});
beforeEach(async () => {
  payouts = new PayoutShop(api, await api.merchant('EUR', 'USD'), bank, bystander);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await bystander.close();
  await api.stop();
  await bank.close();
});

const told = async () =>
  (await api.logOf(payouts.shop))
    .filter(({ type }) => type.startsWith('payout.'))
    .map(({ type, data }) => [type, data.payout.id, data.payout.status]);
const steps = ({ timeline }: Json): string[] => timeline.map(({ status }: Json) => status);

describe('a payout that is asked for', () => {
  test('is reserved at once, and shown as it is answered', async () => {
    await payouts.settle(1_000);
    const { balances, ...payout } = await payouts.reserved({ amount: '400' });
    expect(payout).toMatchObject({
      amount: '400',
      currency: 'EUR',
      fee: '0',
      status: 'reserved',
      destination: 'bank_ok',
      bank_reference: null,
      failure_code: null,
    });
    expect(steps(payout)).toEqual(['requested', 'reserved']);
    expect(balances.map(({ account_id, posted }: Json) => [account_id, posted.amount])).toEqual([
      [payouts.shop.accounts['merchant_payable:EUR'], '600'],
      [payouts.shop.accounts['payout_clearing:EUR'], '400'],
    ]);
    expect(await payouts.get(payout.id)).toEqual(payout);
    expect(await payouts.money()).toEqual(['600', '400', '0', '600']);
    expect(bank.instructed).toEqual([]);
  });

  test('without an amount is of all that is settled and not paid', async () => {
    await payouts.settle(1_000);
    await payouts.reserved({ amount: '300' });
    expect((await payouts.reserved()).amount).toBe('700');
    const none = await payouts.ask();
    expect([none.status, none.body.code]).toEqual([422, 'insufficient_funds']);
  });

  test('is never more than was settled, whatever the merchant is owed', async () => {
    await payouts.settle(500);
    await payouts.shop.posted({
      type: 'sale',
      entries: [
        { account_code: 'provider_receivable:EUR', direction: 'debit', amount: '900', currency: 'EUR' },
        { account_code: 'merchant_payable:EUR', direction: 'credit', amount: '900', currency: 'EUR' },
      ],
    });
    const key = randomUUID();
    const refused = await payouts.ask({ amount: '501' }, key);
    expect([refused.status, refused.body.code]).toEqual([422, 'insufficient_funds']);
    expect(refused.body.detail).toContain('500 EUR are settled');
    await payouts.settle(500);
    // The ledger's refusal is kept.
    expect((await payouts.ask({ amount: '501' }, key)).body.code).toBe('insufficient_funds');
    expect((await payouts.ask({ amount: '501' })).status).toBe(202);
  });

  test('where nothing was ever settled, or less than nothing, is refused', async () => {
    expect((await payouts.ask({ amount: '1' })).body.code).toBe('insufficient_funds');
    await payouts.settle(-100);
    expect((await payouts.ask()).body.code).toBe('insufficient_funds');
    expect((await payouts.ask({ currency: 'GBP' })).body.code).toBe('currency_mismatch');
  });

  test('again under the same key is the same payout', async () => {
    await payouts.settle(1_000);
    const key = randomUUID();
    const first = await payouts.ask({ amount: '400' }, key);
    const again = await payouts.ask({ amount: '400' }, key);
    expect([again.status, again.headers.get('idempotent-replayed'), again.body]).toEqual([202, 'true', first.body]);
    expect((await payouts.ask({ amount: '401' }, key)).body.code).toBe('idempotency_key_reused');
    expect((await payouts.shop.client.post('/v1/payouts', { body: { currency: 'EUR' } })).body.code).toBe(
      'idempotency_key_required',
    );
    expect((await payouts.shop.client.get('/v1/payouts')).body.data).toHaveLength(1);
  });

  test.each([
    [{ amount: '0' }, 'amount'],
    [{ amount: 1.5 }, 'amount'],
    [{ currency: 'QQQ' }, 'currency'],
    [{ destination: '' }, 'destination'],
    [{ destination: undefined }, 'destination'],
    [{ destination: 'bank_ok\n' }, 'destination'],
    [{ destination: 'a\u001bb' }, 'destination'],
    [{ destination: '\u202eko_knab' }, 'destination'],
    [{ destination: '   ' }, 'destination'],
    [{ destination: 'x'.repeat(256) }, 'destination'],
    [{ more: 1 }, 'more'],
  ])('%j is refused at %s, and burns no key', async (body, path) => {
    await payouts.settle(10);
    const key = randomUUID();
    const refused = await payouts.ask(body, key);
    expect([refused.status, refused.body.code, refused.body.errors[0].path]).toEqual([422, 'validation_failed', path]);
    expect((await payouts.ask({}, key)).status).toBe(202);
  });

  test('is of no more than one entry holds: that is paid where no amount is asked for, and the rest by the next', async () => {
    await payouts.settle(Number.MAX_SAFE_INTEGER);
    await payouts.settle(5);
    const more = await payouts.ask({ amount: '9007199254740992' });
    expect([more.status, more.body.code, more.body.errors[0].path]).toEqual([422, 'amount_out_of_range', 'amount']);
    expect((await payouts.reserved({})).amount).toBe('9007199254740991');
    expect((await payouts.reserved({})).amount).toBe('5');
  });

  test('is refused where an account has no room for it', async () => {
    await payouts.settle(1_000);
    const most = transfer('suspense:EUR', 'payout_clearing:EUR', '9007199254740991');
    const body = { mode: 'atomic', transactions: Array(512).fill(most) };
    expect((await payouts.shop.client.post('/v1/transactions/batch', { body, key: randomUUID() })).status).toBe(200);
    const refused = await payouts.ask({ amount: '513' });
    expect([refused.status, refused.body.code]).toEqual([422, 'amount_out_of_range']);
    expect((await payouts.reserved({ amount: '512' })).status).toBe('reserved');
  });

  test('is listed by status and currency, newest first, and nobody else’s is there', async () => {
    await payouts.settle(100);
    await payouts.settle(100, 'USD');
    const one = await payouts.instructed({ amount: '10' });
    const two = await payouts.reserved({ amount: '20' });
    const three = await payouts.reserved({ amount: '30', currency: 'USD' });
    const ids = async (query: string) =>
      (await payouts.shop.client.get(`/v1/payouts${query}`)).body.data.map(({ id }: Json) => id);
    expect(await ids('')).toEqual([three.id, two.id, one.id]);
    expect(await ids('?currency=EUR')).toEqual([two.id, one.id]);
    expect(await ids('?status=reserved')).toEqual([three.id, two.id]);
    expect(await ids('?status=reserved&currency=EUR')).toEqual([two.id]);
    expect(await ids('?status=instructed')).toEqual([one.id]);
    const page = (await payouts.shop.client.get('/v1/payouts?limit=2')).body;
    expect(await ids(`?limit=2&cursor=${page.next_cursor}`)).toEqual([one.id]);
    const other = await api.merchant();
    expect((await other.client.get(`/v1/payouts/${one.id}`)).status).toBe(404);
    expect((await other.client.get('/v1/payouts')).body.data).toEqual([]);
    expect((await payouts.shop.client.get('/v1/payouts?status=gone')).status).toBe(422);
  });
});

describe('a bank that pays', () => {
  test('is told once, asked by its schedule, and what it has paid is watched for a month', async () => {
    await payouts.settle(1_000);
    const payout = await payouts.reserved();
    const key = payouts.keyOf(payout);
    expect(await payouts.due()).toEqual([['payout', 0]]);
    await payouts.saga().onTheWay.round();
    expect(await payouts.get(payout.id)).toMatchObject({ status: 'instructed', bank_reference: `B-${key}` });
    expect(JSON.parse(bank.taken.get(key)?.body as string)).toEqual({
      amount: '1000',
      currency: 'EUR',
      destination: 'bank_ok',
      reference: payout.id,
    });
    for (const [askedAtS, nextMin] of [
      [0, 1],
      [30, 5],
      [300, 60],
      [3_600, 120],
      [7_200, 180],
    ] as const) {
      await payouts.makeDue();
      await payouts.saga({ aheadMs: askedAtS * 1_000 }).onTheWay.round();
      expect(await payouts.due()).toEqual([['payout', nextMin]]);
    }
    expect(await payouts.money()).toEqual(['0', '1000', '0', '0']);
    bank.say(key, 'paid');
    await payouts.follow();
    const paid = await payouts.get(payout.id);
    expect(steps(paid)).toEqual(['requested', 'reserved', 'instructed', 'paid']);
    expect(await payouts.money()).toEqual(['0', '0', '-1000', '0']);
    expect(await payouts.due()).toEqual([['payout_watch', 24 * 60]]);
    await payouts.makeDue();
    await payouts.saga({ aheadMs: 10.5 * 86_400_000 }).watched.round();
    expect(await payouts.due()).toEqual([['payout_watch', 11 * 24 * 60]]);
    await payouts.makeDue();
    await payouts.saga({ aheadMs: 30.5 * 86_400_000 }).watched.round();
    expect(await payouts.due()).toEqual([]);
    expect(bank.instructed.filter((request) => request.includes(key))).toHaveLength(1);
    expect(await told()).toEqual([['payout.paid', payout.id, 'paid']]);
  });

  test('and has it returned days later: its money is the merchant’s again, and can be paid out again', async () => {
    await payouts.settle(1_000);
    const payout = await payouts.instructed();
    bank.say(payouts.keyOf(payout), 'paid');
    await payouts.follow();
    bank.say(payouts.keyOf(payout), 'returned', 'account_closed');
    await payouts.follow();
    const returned = await payouts.get(payout.id);
    expect(returned).toMatchObject({ status: 'returned', failure_code: 'account_closed' });
    expect(returned.timeline.at(-1)).toMatchObject({
      detail: 'account_closed',
      transaction_id: returned.transactions[2],
    });
    expect(await payouts.money()).toEqual(['1000', '0', '0', '1000']);
    expect(await payouts.due()).toEqual([]);
    expect((await payouts.reserved()).amount).toBe('1000');
  });

  test('and has it returned before anybody asked: both are posted, as its statement has both', async () => {
    await payouts.settle(700);
    const payout = await payouts.instructed();
    bank.say(payouts.keyOf(payout), 'returned', 'unknown');
    await payouts.follow();
    const returned = await payouts.get(payout.id);
    expect(steps(returned)).toEqual(['requested', 'reserved', 'instructed', 'paid', 'returned']);
    expect(returned.timeline.map(({ detail }: Json) => detail)).toEqual([null, null, null, null, 'unknown']);
    const types = await Promise.all(
      returned.transactions.map(
        async (id: string) => (await payouts.shop.client.get(`/v1/transactions/${id}`)).body.type,
      ),
    );
    expect(types).toEqual(['payout.reserved', 'payout.paid', 'payout.returned']);
    expect(await told()).toEqual([
      ['payout.paid', payout.id, 'paid'],
      ['payout.returned', payout.id, 'returned'],
    ]);
  });
});

describe('a bank that does not pay', () => {
  test('refuses at once: nothing is reserved any more, and it is asked no more', async () => {
    await payouts.settle(1_000);
    bank.refuses.set('bank_refused', 'account_closed');
    const payout = await payouts.instructed({ destination: 'bank_refused' });
    expect(payout).toMatchObject({ status: 'failed', failure_code: 'account_closed', bank_reference: null });
    expect(await payouts.money()).toEqual(['1000', '0', '0', '1000']);
    expect(await payouts.due()).toEqual([]);
    expect(await told()).toEqual([['payout.failed', payout.id, 'failed']]);
  });

  test('and then says that it has: it is posted again, also where that is more than is left', async () => {
    await payouts.settle(1_000);
    const payout = await payouts.instructed();
    bank.say(payouts.keyOf(payout), 'failed', 'technical');
    await payouts.follow();
    expect(await payouts.money()).toEqual(['1000', '0', '0', '1000']);
    expect(await payouts.due()).toEqual([['payout_watch', 24 * 60]]);
    await payouts.reserved({ amount: '600' });
    bank.say(payouts.keyOf(payout), 'paid');
    await payouts.follow();
    expect(await payouts.get(payout.id)).toMatchObject({ status: 'paid', failure_code: null });
    expect(await payouts.money()).toEqual(['-600', '600', '-1000', '-600']);
    expect((await payouts.ask({ amount: '1' })).body.code).toBe('insufficient_funds');
    expect((await told()).map(([type]) => type)).toEqual(['payout.failed', 'payout.paid']);
  });
});

test('the bank is asked as often, and what it has paid is watched as long, as is configured', async () => {
  const other = { PAYOUT_ASK_SCHEDULE_S: '600', PAYOUT_WATCH_DAYS: '0' };
  const api2 = await TestApi.start({ on: api.on, environment: { ...bankEnvironment(bank), ...other } });
  try {
    const configured = new PayoutShop(api2, payouts.shop.via(api2), bank, bystander);
    await configured.settle(1_000);
    const payout = await configured.instructed();
    expect(await configured.due()).toEqual([['payout', 10]]);
    bank.say(configured.keyOf(payout), 'paid');
    await configured.follow();
    expect([(await configured.get(payout.id)).status, await configured.due()]).toEqual(['paid', []]);
  } finally {
    await api2.stop();
  }
});

describe('without a bank', () => {
  test('payouts are refused, and no key is burnt', async () => {
    const alone = await TestApi.start({ on: api.on });
    try {
      await payouts.settle(10);
      const key = randomUUID();
      const through = payouts.shop.via(alone).client;
      const body = { currency: 'EUR', destination: 'bank_ok' };
      const refused = await through.post('/v1/payouts', { body, key });
      expect([refused.status, refused.body.code]).toEqual([409, 'invalid_transition']);
      expect((await payouts.shop.client.post('/v1/payouts', { body, key })).status).toBe(202);
    } finally {
      await alone.stop();
    }
  });
});

describe('a payout schedule', () => {
  const schedule = (id: string) => `/v1/merchants/${id}/payout_schedule`;

  test('is by hand until it is set, and then as it was set last', async () => {
    const { id } = payouts.shop;
    expect((await api.operator.get(schedule(id))).body).toEqual({
      merchant_id: id,
      schedule: 'manual',
      destination: null,
    });
    for (const body of [
      { schedule: 'daily', destination: 'bank_ok' },
      { schedule: 'manual', destination: null },
      { schedule: 'manual', destination: 'bank_slow' },
    ]) {
      const answer = await api.operator.request('PUT', schedule(id), { body });
      expect([answer.status, answer.body]).toEqual([200, { merchant_id: id, ...body }]);
      expect((await api.operator.get(schedule(id))).body).toEqual({ merchant_id: id, ...body });
    }
    await payouts.settle(10);
    expect((await payouts.reserved({ destination: undefined })).destination).toBe('bank_slow');
  });

  test('by hand needs no destination, and then each payout has to name its own', async () => {
    const { id } = payouts.shop;
    const answer = await api.operator.request('PUT', schedule(id), { body: { schedule: 'manual' } });
    expect([answer.status, answer.body]).toEqual([200, { merchant_id: id, schedule: 'manual', destination: null }]);
    await payouts.settle(10);
    const refused = await payouts.ask({ destination: undefined });
    expect([refused.status, refused.body.errors[0].path]).toEqual([422, 'destination']);
    expect((await payouts.reserved({ destination: 'bank_slow' })).destination).toBe('bank_slow');
  });

  test('by the day needs a destination', async () => {
    for (const destination of [undefined, null]) {
      const body = { schedule: 'daily', destination };
      const wrong = await api.operator.request('PUT', schedule(payouts.shop.id), { body });
      expect([wrong.status, wrong.body.errors.map(({ path }: Json) => path)]).toEqual([422, ['destination']]);
    }
    expect((await api.operator.get(schedule(payouts.shop.id))).body.schedule).toBe('manual');
  });

  test('is the operator’s to set, of merchants that are there', async () => {
    const body = { schedule: 'daily', destination: 'x' };
    expect((await payouts.shop.client.request('PUT', schedule(payouts.shop.id), { body })).status).toBe(403);
    expect((await api.operator.request('PUT', schedule('1'), { body })).status).toBe(404);
    expect((await api.operator.get(schedule('1'))).status).toBe(404);
    const wrong = await api.operator.request('PUT', schedule(payouts.shop.id), { body: { schedule: 'weekly' } });
    expect(wrong.body.errors.map(({ path }: Json) => path)).toEqual(['schedule']);
  });
});

describe('every word of the bank, over the database:', () => {
  const WORDS: readonly BankWord[] = ['refused', 'accepted', 'paid', 'failed', 'returned'];
  const COME_TO: Record<StoredStatus, BankWord[]> = {
    reserved: [],
    instructed: ['accepted'],
    paid: ['accepted', 'paid'],
    failed: ['accepted', 'failed'],
    returned: ['accepted', 'returned'],
  };
  const ENDS: Record<StoredStatus, StoredStatus[]> = {
    reserved: ['failed', 'instructed', 'paid', 'failed', 'returned'],
    instructed: ['instructed', 'instructed', 'paid', 'failed', 'returned'],
    paid: ['paid', 'paid', 'paid', 'failed', 'returned'],
    failed: ['failed', 'failed', 'paid', 'failed', 'returned'],
    returned: ['returned', 'returned', 'paid', 'returned', 'returned'],
  };
  /** Of 900: on merchant_payable, payout_clearing and cash, and what is left. */
  const MONEY: Record<StoredStatus, string[]> = {
    reserved: ['100', '900', '0', '100'],
    instructed: ['100', '900', '0', '100'],
    paid: ['100', '0', '-900', '100'],
    failed: ['1000', '0', '0', '1000'],
    returned: ['1000', '0', '0', '1000'],
  };

  const tell = (payout: Json, word: BankWord, sequence: number) => {
    const context = {
      merchantId: BigInt(payouts.shop.id),
      deadline: Deadline.after(60_000),
      span: trace.getTracer('t').startSpan('t'),
      cost: new Cost(),
    };
    // What it refuses it has no words about.
    const more = word === 'refused' ? {} : { sequence, reference: 'B' };
    const said = { word, sequence: undefined, reference: undefined, failureCode: undefined, ...more };
    return api.app.get(CommandBus, { strict: false }).execute(new TellPayoutCommand(context, payout, said));
  };

  test.each(
    STORED_STATUSES.flatMap((status) =>
      WORDS.map((word, index) => ({ status, word, end: ENDS[status][index] as StoredStatus })),
    ),
  )('$word of one that is $status makes it $end, once', async ({ status, word, end }) => {
    await payouts.settle(1_000);
    const payout = await payouts.reserved({ amount: '900' });
    let sequence = 0;
    for (const before of COME_TO[status]) await tell(payout, before, ++sequence);
    const before = await payouts.get(payout.id);
    expect(before.status).toBe(status);
    sequence += 1;
    await tell(payout, word, sequence);
    const after = await payouts.get(payout.id);
    expect([after.status, await payouts.money()]).toEqual([end, MONEY[end]]);
    if (end === status) expect(after).toEqual(before);
    // Said again, and a word of before that comes late.
    expect(await tell(payout, word, sequence)).toEqual([]);
    for (const late of WORDS) if (late !== 'refused') expect(await tell(payout, late, sequence - 1)).toEqual([]);
    expect(await payouts.get(payout.id)).toEqual(after);
  });
});

test('every route of payouts has been answered with success above, as it is documented', () => {
  const routes = contract.routes.filter((route) => route.includes('/payout'));
  const answered = routes.filter((route) => [...(contract.seen.get(route) ?? [])].some((status) => status < 300));
  expect([routes.length, answered]).toEqual([5, routes]);
});
