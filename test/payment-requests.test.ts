import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { PaymentStatus } from '#payments/position.js';
import { PAYMENT_REQUESTS, type PaymentRequest, TRANSITIONS } from '#payments/transitions.js';
import { type Answer, type Json, type Merchant, TestApi } from './support/api.js';
import { expectVerified } from './support/verified.js';

let api: TestApi;
let mine: Merchant;

beforeAll(async () => {
  api = await TestApi.start();
  mine = await api.merchant('EUR');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await api.stop();
});

const ask = (id: string, what: PaymentRequest, body?: object, key: string = randomUUID()): Promise<Answer> =>
  mine.client.post(`/v1/payments/${id}/${what}`, { key, ...(body && { body }) });

/** Facts of a payment of 1000 that make it what it is; whether something of it is still held then. */
interface Setup {
  status: PaymentStatus;
  held: boolean;
  facts: [type: string, more?: object][];
}

const AUTHORISED: [string, object] = ['authorised', { amount: '1000', currency: 'EUR' }];
const part = { amount: '600', object_ref: 'c' };

const SETUPS: Setup[] = [
  { status: 'authorised', held: true, facts: [AUTHORISED] },
  {
    status: 'failed',
    held: false,
    facts: [
      ['captured', { amount: '9', currency: 'EUR', sequence: 1, object_ref: 'c' }],
      ['capture_failed', { object_ref: 'c' }],
    ],
  },
  { status: 'voided', held: false, facts: [AUTHORISED, ['voided']] },
  { status: 'expired', held: false, facts: [AUTHORISED, ['expired']] },
  { status: 'partially_captured', held: true, facts: [AUTHORISED, ['captured', part]] },
  { status: 'captured', held: false, facts: [AUTHORISED, ['captured', part], ['voided']] },
  { status: 'partially_refunded', held: true, facts: [AUTHORISED, ['captured', part], ['refunded', { amount: '1' }]] },
  {
    status: 'partially_refunded',
    held: false,
    facts: [AUTHORISED, ['captured', part], ['voided'], ['refunded', { amount: '1' }]],
  },
  { status: 'refunded', held: true, facts: [AUTHORISED, ['captured', part], ['refunded', { amount: '600' }]] },
  {
    status: 'refunded',
    held: false,
    facts: [AUTHORISED, ['captured', part], ['voided'], ['refunded', { amount: '600' }]],
  },
];

async function paymentOf({ facts, status, held }: Setup): Promise<Json> {
  const payment_ref = randomUUID();
  const events = facts.map(([type, more], index) => ({
    provider: 'acme',
    event_id: `${index}`,
    payment_ref,
    occurred_at: '2026-11-21T17:09:00.000Z',
    type,
    ...more,
  }));
  await mine.client.post('/v1/provider_events/batch', { body: { events } });
  const [payment] = (await mine.client.get(`/v1/payments?provider_ref=${payment_ref}`)).body.data;
  expect([payment.status, payment.amount_capturable !== '0']).toEqual([status, held]);
  return payment;
}

const CASES = SETUPS.flatMap((setup) => PAYMENT_REQUESTS.map((request) => ({ ...setup, request })));

describe('what can be asked of a payment is what the table says:', () => {
  test('each status is tried', () => {
    expect([...new Set(SETUPS.map(({ status }) => status))].sort()).toEqual(Object.keys(TRANSITIONS).sort());
  });

  test.each(CASES)('$request of one that is $status, something held: $held', async ({ request, ...setup }) => {
    const { id, ...before } = await paymentOf(setup);
    const legality = TRANSITIONS[setup.status][request];
    const isLegal = legality === 'yes' || (legality === 'while held' && setup.held);
    const { status, body } = await ask(id, request);
    if (isLegal) {
      expect([status, body.id]).toEqual([200, id]);
      expect(body.transactions).toHaveLength(before.transactions.length + 1);
    } else {
      expect([status, body.code]).toEqual([409, 'invalid_transition']);
      expect(body.detail).toMatch(/It can be .+\.$|Nothing more can be asked of it\.$/);
      expect((await mine.client.get(`/v1/payments/${id}`)).body).toMatchObject(before);
    }
  });
});

describe('a request', () => {
  const open = async (more: object = {}): Promise<string> => {
    const body = { amount: '1000', currency: 'EUR', capture: 'automatic', ...more };
    return (await mine.client.post('/v1/payments', { body, key: randomUUID() })).body.id;
  };

  test('for more than there is is refused, and its key says so again', async () => {
    const id = await open();
    const key = randomUUID();
    const refused = await ask(id, 'refund', { amount: '1001' }, key);
    expect([refused.status, refused.body.code]).toEqual([422, 'amount_exceeds_remaining']);
    const again = await ask(id, 'refund', { amount: '1001' }, key);
    expect([again.status, again.body, again.headers.get('idempotent-replayed')]).toEqual([422, refused.body, 'true']);
    expect((await ask(id, 'refund', { amount: '5' }, key)).body.code).toBe('idempotency_key_reused');
  });

  test('under one key counts once, and is answered as it was', async () => {
    const id = await open();
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask(id, 'refund', { amount: '100' }, key)));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    await ask(id, 'refund', { amount: '200' });
    const late = await ask(id, 'refund', { amount: '100' }, key);
    expect([late.status, late.text]).toEqual([200, answers[0]?.text]);
    expect((await mine.client.get(`/v1/payments/${id}`)).body.amount_refunded).toBe('300');
  });

  test('is about all that is left where it does not say how much, and a final capture gives back the rest', async () => {
    const id = await open({ capture: 'manual' });
    expect((await ask(id, 'capture', { amount: '300', final: false })).body.amount_capturable).toBe('700');
    expect((await ask(id, 'capture', { amount: '100' })).body).toMatchObject({
      status: 'captured',
      amount_capturable: '0',
      amount_captured: '400',
    });
    expect((await ask(id, 'refund', { amount: '150' })).body.amount_refunded).toBe('150');
    expect((await ask(id, 'refund')).body).toMatchObject({ status: 'refunded', amount_refunded: '400' });
  });

  test('and the provider’s word for it are one, which the provider’s later failure undoes', async () => {
    const id = await open({ provider: 'acme', provider_ref: 'paired' });
    const { body } = await ask(id, 'refund', { amount: '100' });
    const tell = (event_id: string, type: string, more: object) =>
      mine.client.post('/v1/provider_events', {
        body: {
          provider: 'acme',
          event_id,
          payment_ref: 'paired',
          type,
          occurred_at: new Date().toISOString(),
          ...more,
        },
      });
    expect(body.refunds).toMatchObject([{ amount: '100', status: 'requested' }]);
    await tell('1', 'refunded', { amount: '100', object_ref: 're_1' });
    const told = (await mine.client.get(`/v1/payments/${id}`)).body;
    expect([told.amount_refunded, told.refunds]).toEqual(['100', [{ ...body.refunds[0], status: 'succeeded' }]]);
    await tell('2', 'refund_failed', { object_ref: 're_1' });
    expect((await mine.client.get(`/v1/payments/${id}`)).body).toMatchObject({
      status: 'captured',
      amount_refunded: '0',
    });
  });

  test.each(['capture', 'void', 'refund'] as const)(
    'to %s what is not there, or without a key, does nothing',
    async (what) => {
      expect((await ask('1', what)).status).toBe(404);
      expect((await ask('x', what)).status).toBe(404);
      expect((await mine.client.post(`/v1/payments/${await open()}/${what}`)).body.code).toBe(
        'idempotency_key_required',
      );
    },
  );
});

describe('the list of payments', () => {
  test('is filtered by what was asked for, a page at a time', async () => {
    const shop = await api.merchant('EUR');
    const post = async (more: object): Promise<string> => {
      const body = { amount: '10', currency: 'EUR', capture: 'automatic', ...more };
      return (await shop.client.post('/v1/payments', { body, key: randomUUID() })).body.id;
    };
    const list = async (query: string): Promise<string[]> =>
      (await shop.client.get(`/v1/payments?${query}`)).body.data.map(({ id }: Json) => id);
    const plain = await post({});
    const held = await post({ capture: 'manual' });
    const ours = await post({ provider: 'acme', provider_ref: 'r' });
    const theirs = await post({ provider: 'other', provider_ref: 'r' });
    expect(await list('')).toEqual([theirs, ours, held, plain]);
    expect(await list('status=authorised')).toEqual([held]);
    expect(await list('provider=acme')).toEqual([ours]);
    expect(await list('provider_ref=r')).toEqual([theirs, ours]);
    expect(await list('provider_ref=r&provider=other&status=captured')).toEqual([theirs]);
    const { created_at: at } = (await shop.client.get(`/v1/payments/${ours}`)).body;
    expect(await list(`created_to=${at}`)).not.toContain(ours);
    expect(await list(`created_from=${at}`)).toContain(ours);
    const first = (await shop.client.get('/v1/payments?limit=3')).body;
    expect([first.data.length, first.has_more]).toEqual([3, true]);
    expect(await list(`limit=3&cursor=${first.next_cursor}`)).toEqual([plain]);
    expect((await mine.client.get(`/v1/payments?limit=3&cursor=${first.next_cursor}`)).status).toBe(422);
    expect((await shop.client.get('/v1/payments?colour=red')).status).toBe(422);
  });
});
