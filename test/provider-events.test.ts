import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { expectVerified } from './support/verified.js';

const FACTS_MAX = 10;
let api: TestApi;
let mine: Merchant;

beforeAll(async () => {
  api = await TestApi.start({ environment: { PAYMENT_FACTS_MAX: String(FACTS_MAX) } });
  await Contract.hold(api);
  mine = await api.merchant('EUR', 'USD');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await api.stop();
});

const eventOf = (more: object): Json => ({
  provider: 'acme',
  event_id: randomUUID(),
  payment_ref: 'p',
  type: 'authorised',
  amount: '100',
  currency: 'EUR',
  occurred_at: '2026-11-21T17:09:00.000Z',
  ...more,
});
const tell = (body: object, key?: string) => mine.client.post('/v1/provider_events', { body, ...(key && { key }) });
const tellAll = (events: unknown[], key?: string) =>
  mine.client.post('/v1/provider_events/batch', { body: { events }, ...(key && { key }) });

describe('one event', () => {
  test.each([
    ['provider', 'payment'],
    ['provider', 'Acme'],
    ['event_id', 'request:1'],
    ['event_id', 'contradiction:1'],
    ['event_id', ''],
    ['payment_ref', 'x'.repeat(256)],
    ['type', 'paid'],
    ['amount', '-1'],
    ['amount', String(2n ** 53n)],
    ['amount', '1'.repeat(40)],
    ['amount', 1.5],
    ['fee', String(2n ** 53n)],
    ['currency', 'XXZ'],
    ['amount_kind', 'sum'],
    ['stage', 'court'],
    ['sequence', 0],
    ['sequence', 2 ** 53],
    ['occurred_at', '1999-12-31T23:59:59.999Z'],
    ['occurred_at', '2199-01-01T00:00:00Z'],
    ['colour', 'red'],
  ])('whose %s is %s is refused, and leaves nothing', async (field, value) => {
    const before = await api.countRows();
    const { status, body } = await tell(eventOf({ payment_ref: 'refused', [field]: value }));
    expect([status, body.code, body.errors[0].path]).toEqual([422, 'validation_failed', field]);
    expect(await api.countRows()).toEqual(before);
  });

  test('needs no key, and honours one', async () => {
    const event = eventOf({ payment_ref: 'keyed' });
    const key = randomUUID();
    const first = await tell(event, key);
    expect([first.status, first.body.outcome]).toEqual([202, 'applied']);
    const again = await tell(event, key);
    expect([again.status, again.text, again.headers.get('idempotent-replayed')]).toEqual([202, first.text, 'true']);
    expect((await tell(event)).body.outcome).toBe('duplicate');
    expect((await tell({ ...event, amount: '5' }, key)).body.code).toBe('idempotency_key_reused');
  });

  test('is taken from an operator who acts for the merchant, and from nobody else', async () => {
    const event = eventOf({ payment_ref: 'operated' });
    const acting = await api.actingFor(mine.id).post('/v1/provider_events', { body: event });
    expect([acting.status, acting.body.outcome]).toEqual([202, 'applied']);
    expect((await tell(event)).body).toEqual({ ...acting.body, outcome: 'duplicate' });
    expect((await api.client().post('/v1/provider_events', { body: event })).status).toBe(401);
  });

  test('without a currency is in the payment’s', async () => {
    const { currency: _, ...captured } = eventOf({ payment_ref: 'bare', type: 'captured' });
    expect((await tell(captured)).body).toEqual({ outcome: 'parked' });
    const { payment_id } = (await tell(eventOf({ payment_ref: 'bare' }))).body;
    const { currency: __, amount: ___, ...bare } = eventOf({ payment_ref: 'bare' });
    for (const type of ['dispute_opened', 'dispute_lost', 'settled']) {
      const fee = type === 'settled' ? { fee: '3' } : {};
      const { body } = await tell({ ...bare, event_id: type, type, ...fee });
      expect([type, body]).toEqual([type, { outcome: 'applied', payment_id }]);
    }
  });

  test('in a currency that the merchant has no accounts in is rejected, and leaves nothing', async () => {
    const before = await api.countRows();
    const { status, body } = await tell(eventOf({ payment_ref: 'yen', currency: 'JPY' }));
    expect([status, body]).toEqual([202, { outcome: 'rejected', reason: 'The merchant has no accounts in JPY.' }]);
    expect(await api.countRows()).toEqual(before);
  });

  test('a payment that turns out to be in another currency leaves the first as if it had never been in it', async () => {
    const event = eventOf({ payment_ref: 'turned', occurred_at: '2026-11-21T17:09:00.000Z' });
    const { payment_id } = (await tell(event)).body;
    await tell(eventOf({ payment_ref: 'turned', currency: 'USD', occurred_at: '2026-11-21T17:00:00.000Z' }));
    const shown = (await mine.client.get(`/v1/payments/${payment_id}`)).body;
    expect([shown.currency, shown.findings.map(({ kind }: Json) => kind)]).toEqual(['USD', ['currency_mismatch']]);
    expect(shown.timeline.map(({ outcome }: Json) => outcome)).toEqual(['rejected', 'applied']);
  });

  test('takes effect when it occurred, but takes nothing back before that came', async () => {
    const [at, before] = ['2026-11-21T17:09:00.000Z', '2026-11-21T17:00:00.000Z'];
    const effects = async (payment_ref: string, ...events: object[]): Promise<string[]> => {
      for (const event of events) await tell(eventOf({ payment_ref, occurred_at: at, ...event }));
      const [{ transactions }] = (await mine.client.get(`/v1/payments?provider_ref=${payment_ref}`)).body.data;
      const shown = transactions.map((id: string) => mine.client.get(`/v1/transactions/${id}`));
      return (await Promise.all<Json>(shown)).map(({ body }) => body.effective_at);
    };
    const sale = { type: 'captured', sequence: 1, object_ref: 'a' };
    expect(await effects('adds', sale, { type: 'captured', object_ref: 'b', occurred_at: before })).toEqual([
      at,
      before,
    ]);
    expect(await effects('gives back', sale, { type: 'refunded', occurred_at: before })).toEqual([at, at]);
    expect(await effects('releases', {}, { type: 'voided', occurred_at: before })).toEqual([at, at]);
  });

  test(`beyond ${FACTS_MAX} of a payment is rejected, and requests are refused`, async () => {
    const first = eventOf({ payment_ref: 'full' });
    const { payment_id } = (await tell(first)).body;
    for (let index = 1; index < FACTS_MAX - 1; index += 1) {
      expect((await tell(eventOf({ payment_ref: 'full' }))).body.outcome).toBe('stale');
    }
    const mine_too = { provider: 'acme', provider_ref: 'full', amount: '100', currency: 'EUR', capture: 'automatic' };
    const opened = await mine.client.post('/v1/payments', { body: mine_too, key: randomUUID() });
    expect([opened.status, opened.body.code]).toEqual([409, 'invalid_transition']);
    expect((await tell(eventOf({ payment_ref: 'full' }))).body.outcome).toBe('stale');
    const reason = `A payment has at most ${FACTS_MAX} facts.`;
    expect((await tell(eventOf({ payment_ref: 'full', type: 'voided' }))).body).toEqual({
      outcome: 'rejected',
      payment_id,
      reason,
    });
    const refused = await mine.client.post(`/v1/payments/${payment_id}/void`, { key: randomUUID() });
    expect([refused.status, refused.body.code, refused.body.detail]).toEqual([409, 'invalid_transition', reason]);
    const contradiction = (await tell({ ...first, amount: '99' })).body;
    expect(contradiction).toMatchObject({ outcome: 'rejected', reason: expect.stringMatching(/another content/) });
    expect((await mine.client.get(`/v1/payments/${payment_id}`)).body.timeline).toHaveLength(FACTS_MAX);
  });
});

describe('a batch of events', () => {
  test('answers each in its place, also those that are malformed', async () => {
    const good = eventOf({ payment_ref: 'batch', event_id: 'a' });
    const { status, body } = await tellAll([
      { ...good, type: 'captured', event_id: 'c' },
      7,
      good,
      { ...good, amount: 'x' },
      good,
    ]);
    expect(status).toBe(202);
    const payment_id = body.results[2].payment_id;
    expect(body.results).toMatchObject([
      { outcome: 'parked' },
      { outcome: 'rejected', problem: { code: 'validation_failed', errors: [{ path: 'event' }] } },
      { outcome: 'applied', payment_id },
      { outcome: 'rejected', problem: { code: 'validation_failed', errors: [{ path: 'amount' }] } },
      { outcome: 'duplicate', payment_id },
    ]);
    for (const index of [1, 3]) expect(body.results[index].reason).toBe(body.results[index].problem.detail);
  });

  test('under a key commits together, and is answered as it was', async () => {
    const key = randomUUID();
    const events = [
      eventOf({ payment_ref: 'b1' }),
      { bad: true },
      eventOf({ payment_ref: 'b2', currency: 'JPY' }),
      eventOf({ payment_ref: 'b3', currency: 'USD', type: 'captured', sequence: 1 }),
      eventOf({ payment_ref: 'b3', currency: undefined, type: 'settled', fee: '1' }),
    ];
    const first = await tellAll(events, key);
    expect(first.body.results.map(({ outcome }: Json) => outcome)).toEqual([
      'applied',
      'rejected',
      'rejected',
      'applied',
      'applied',
    ]);
    const again = await tellAll(events, key);
    const withoutTrace = (text: string) => text.replace(/"trace_id":"[0-9a-f]+"/, '');
    expect([again.status, withoutTrace(again.text)]).toEqual([202, withoutTrace(first.text)]);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect((await tellAll(events.slice(1), key)).body.code).toBe('idempotency_key_reused');
    const outcomes = (await tellAll(events)).body.results.map(({ outcome }: Json) => outcome);
    expect(outcomes).toEqual(['duplicate', 'rejected', 'rejected', 'duplicate', 'duplicate']);
  });

  test('takes 1,000 and keeps the order of each payment’s', { timeout: 60_000 }, async () => {
    const events = Array.from({ length: 1_000 }, (_, index) => {
      const ref = { payment_ref: `many-${index % 250}`, event_id: `e${index}` };
      if (index < 250) return eventOf(ref);
      if (index < 500) return eventOf({ ...ref, type: 'captured', object_ref: 'c' });
      if (index < 750) return eventOf({ ...ref, type: 'dispute_opened', object_ref: 'd' });
      return eventOf({ ...ref, type: 'settled', fee: '1', object_ref: 's' });
    });
    const { status, body } = await tellAll(events);
    expect([status, body.results.length]).toEqual([202, 1_000]);
    expect(new Set(body.results.map(({ outcome }: Json) => outcome))).toEqual(new Set(['applied']));
    const [payment] = (await mine.client.get('/v1/payments?provider_ref=many-7')).body.data;
    expect(payment.transactions).toHaveLength(4);
  });

  test.each([[[]], [Array(1_001).fill({})], ['none']])('of %j is refused', async (events) => {
    const { status, body } = await mine.client.post('/v1/provider_events/batch', { body: { events } });
    expect([status, body.errors[0].path]).toEqual([422, 'events']);
  });
});
