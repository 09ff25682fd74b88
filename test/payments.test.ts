import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { expectVerified } from './support/verified.js';

let api: TestApi;
let contract: Contract;
let mine: Merchant;

beforeAll(async () => {
  api = await TestApi.start();
  contract = await Contract.hold(api);
  mine = await api.merchant('EUR', 'USD');
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await expectVerified(api.on);
});
afterAll(() => api.stop());

const open = (body: object, key: string = randomUUID()) => mine.client.post('/v1/payments', { body, key });
const MANUAL = { amount: '1000', currency: 'EUR', capture: 'manual' };
const AT = '2026-11-21T17:09:00.000Z';
const eventOf = (more: object) => ({ provider: 'acme', event_id: randomUUID(), occurred_at: AT, ...more });
const tell = async (more: object): Promise<Json> =>
  (await mine.client.post('/v1/provider_events', { body: eventOf(more) })).body;

/** Of a merchant of its own: what stands on its accounts, those that were touched. */
async function balancesOf(merchant: Merchant): Promise<Record<string, string[]>> {
  const shown = await Promise.all(
    Object.entries(merchant.accounts).map(async ([code, id]) => {
      const { posted, pending } = await merchant.balanceOf(id);
      return [code, [posted.amount, pending.amount]] as [string, string[]];
    }),
  );
  return Object.fromEntries(shown.filter(([, amounts]) => amounts.some((amount) => amount !== '0')));
}

describe('a payment that a merchant opens', () => {
  test('holds its amount, or moves it at once', async () => {
    const shop = await api.merchant('EUR');
    const post = (body: object) => shop.client.post('/v1/payments', { body, key: randomUUID() });
    expect((await post(MANUAL)).body.status).toBe('authorised');
    expect(await balancesOf(shop)).toEqual({
      'merchant_payable:EUR': ['0', '1000'],
      'provider_receivable:EUR': ['0', '1000'],
    });
    const { body } = await post({ ...MANUAL, capture: 'automatic', amount: '70' });
    expect([body.status, body.amount_captured, body.transactions.length]).toEqual(['captured', '70', 1]);
    expect(await balancesOf(shop)).toEqual({
      'merchant_payable:EUR': ['70', '1000'],
      'provider_receivable:EUR': ['70', '1000'],
    });
    const told = (await api.logOf(shop))
      .filter(({ type }: Json) => !type.startsWith('account.'))
      .map(({ type }: Json) => type);
    expect(told).toEqual([
      'transaction.adjusted',
      'payment.authorised',
      'transaction.adjusted',
      'payment.authorised',
      'payment.captured',
    ]);
  });

  test('is answered, as each request for it is, with the balances of the accounts that were touched', async () => {
    const shop = await api.merchant('EUR');
    const ask = (path: string, body: object) => shop.client.post(`/v1/payments${path}`, { body, key: randomUUID() });
    const { body: opened } = await ask('', MANUAL);
    const requests: [string, object][] = [
      ['capture', { amount: '400', final: false }],
      ['refund', { amount: '100' }],
      ['void', {}],
    ];
    for (const step of [undefined, ...requests]) {
      const { balances } = step ? (await ask(`/${opened.id}/${step[0]}`, step[1])).body : opened;
      expect(balances).toHaveLength(2);
      for (const { account_id, ...told } of balances) {
        expect(await shop.balanceOf(account_id)).toMatchObject(told);
      }
    }
    const nothing = (await shop.client.get(`/v1/payments/${opened.id}`)).body;
    expect([nothing.amount_capturable, nothing.balances]).toEqual(['0', undefined]);
  });

  test('is one payment however often it is opened under a key, and shows what was said of it', async () => {
    const key = randomUUID();
    const body = { ...MANUAL, description: 'Order 6735', metadata: { order: '6735', items: 3, gift: true } };
    const [first, again] = [await open(body, key), await open(body, key)];
    expect(first.body).toMatchObject({ ...body, provider: null, provider_ref: null });
    expect([again.status, again.text, again.headers.get('idempotent-replayed')]).toEqual([201, first.text, 'true']);
    expect((await open(MANUAL, key)).body.code).toBe('idempotency_key_reused');
    expect((await mine.client.post('/v1/payments', { body })).body.code).toBe('idempotency_key_required');
  });

  test('with a reference, but not whose it is, is refused', async () => {
    const before = await api.countRows();
    const { status, body } = await open({ ...MANUAL, provider_ref: 'whose' });
    expect([status, body.code, body.errors[0].path]).toEqual([422, 'validation_failed', 'provider']);
    expect(await api.countRows()).toEqual(before);
  });

  test('in a currency that the merchant has no accounts in is refused, and leaves nothing', async () => {
    const before = await api.countRows();
    const { status, body } = await open({ ...MANUAL, currency: 'JPY' });
    expect([status, body.code]).toEqual([422, 'currency_mismatch']);
    expect(body.detail).toContain('JPY');
    expect(await api.countRows()).toMatchObject({ payments: before.payments, payment_facts: before.payment_facts });
  });

  test('is its provider’s payment, whoever tells of it first', async () => {
    const ref = { provider: 'acme', provider_ref: 'first' };
    const early = await tell({ payment_ref: 'first', type: 'authorised', amount: '1000', currency: 'EUR' });
    const opened = await open({ ...MANUAL, ...ref, description: 'Mine' });
    expect([opened.status, opened.body.id]).toEqual([201, early.payment_id]);
    expect(opened.body).toMatchObject({ ...ref, capture: 'manual', description: 'Mine', amount_capturable: '1000' });
    const twice = await open({ ...MANUAL, ...ref });
    expect([twice.status, twice.body.code]).toEqual([409, 'invalid_transition']);
    const late = await tell({ payment_ref: 'first', type: 'captured', amount: '1000' });
    expect(late).toEqual({ outcome: 'applied', payment_id: early.payment_id });
  });

  test('has transactions that nobody else may take back', async () => {
    const { body } = await open({ ...MANUAL, capture: 'automatic' });
    const [id] = body.transactions;
    for (const [what, code] of [
      ['reverse', 'invalid_transition'],
      ['void', 'invalid_transition'],
      ['post', 'invalid_transition'],
    ] as const) {
      const { status, body: told } = await mine.move(id, what);
      expect([what, status, told.code]).toEqual([what, 409, code]);
    }
  });
});

describe('the routes of payments', () => {
  const ask = (path: string, body?: object) =>
    mine.client.post(`/v1/payments${path}`, { key: randomUUID(), ...(body && { body }) });

  test('one is opened, captured in part, voided and refunded, and told with all that is known of it', async () => {
    const opened = await ask('', {
      amount: '1000',
      currency: 'EUR',
      capture: 'manual',
      provider: 'acme',
      provider_ref: 'p',
    });
    expect([opened.status, opened.body.status, opened.body.amount_capturable]).toEqual([201, 'authorised', '1000']);
    const { id } = opened.body;
    const captured = await ask(`/${id}/capture`, { amount: '600', final: false });
    expect([captured.status, captured.body.status, captured.body.amount_captured]).toEqual([
      200,
      'partially_captured',
      '600',
    ]);
    const voided = await ask(`/${id}/void`);
    expect([voided.status, voided.body.status, voided.body.amount_capturable]).toEqual([200, 'captured', '0']);
    const refunded = await ask(`/${id}/refund`, { amount: '100' });
    expect([refunded.status, refunded.body.status, refunded.body.amount_refunded]).toEqual([
      200,
      'partially_refunded',
      '100',
    ]);
    const { body } = await mine.client.get(`/v1/payments/${id}`);
    const { balances: _, ...payment } = refunded.body;
    expect(body).toEqual({ ...payment, timeline: expect.any(Array) });
    expect(body.timeline.map(({ type }: Json) => type)).toEqual(['authorised', 'captured', 'voided', 'refunded']);
    expect(body.timeline.map(({ transaction_id }: Json) => transaction_id)).toEqual(body.transactions);
    expect((await mine.client.get('/v1/payments?limit=1')).body.data).toEqual([payment]);
  });

  test('what a provider tells is answered with what came of it', async () => {
    const tell = (event_id: string, more: object) =>
      mine.client.post('/v1/provider_events', {
        body: { provider: 'acme', event_id, payment_ref: 'told', occurred_at: '2026-11-21T17:09:00.000Z', ...more },
      });
    const early = await tell('1', { type: 'captured', amount: '500' });
    expect([early.status, early.body]).toEqual([202, { outcome: 'parked' }]);
    const { body } = await tell('2', { type: 'authorised', amount: '500', currency: 'EUR' });
    expect(body).toEqual({ outcome: 'applied', payment_id: expect.any(String) });
    const { payment_id } = body;
    expect((await tell('2', { type: 'authorised', amount: '500', currency: 'EUR' })).body).toEqual({
      outcome: 'duplicate',
      payment_id,
    });
    expect((await tell('3', { type: 'authorised', amount: '500', currency: 'EUR' })).body).toEqual({
      outcome: 'stale',
      payment_id,
    });
    const other = await tell('4', { type: 'refunded', amount: '5', currency: 'USD' });
    expect(other.body).toEqual({ outcome: 'rejected', payment_id, reason: 'It is in USD, the payment in EUR.' });
    const shown = (await mine.client.get(`/v1/payments/${payment_id}`)).body;
    expect([shown.status, shown.amount_captured, shown.transactions.length]).toEqual(['captured', '500', 1]);
  });
});

test('every route of payments has been answered with success above, as it is documented', async () => {
  const routed = [...contract.routes].filter(
    (route) => /\/(payments|provider_events)/.test(route) && !/batch/.test(route),
  );
  const unanswered = routed.filter((route) => ![...(contract.seen.get(route) ?? [])].some((status) => status < 300));
  expect([routed.length, unanswered]).toEqual([7, []]);
});
