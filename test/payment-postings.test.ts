import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { expectVerified } from './support/verified.js';

/** What facts of payments leave in the ledger and in the log: when it takes effect, what it names, what is told of it. */

let api: TestApi;
let mine: Merchant;

beforeAll(async () => {
  api = await TestApi.start({ environment: { OVERCAPTURE_PERCENT: '10' } });
});
beforeEach(async () => {
  mine = await api.merchant('EUR');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await api.stop();
});

const atMinute = (minute: number) => new Date(Date.UTC(2026, 10, 20, 9, minute, 0, 123)).toISOString();
const eventOf = (type: string, more: object = {}) => ({
  provider: 'acme',
  event_id: randomUUID(),
  payment_ref: 'p',
  type,
  occurred_at: atMinute(0),
  ...more,
});
const tellEvent = async (event: object): Promise<Json> =>
  (await mine.client.post('/v1/provider_events', { body: event })).body;
const tell = (type: string, more: object = {}) => tellEvent(eventOf(type, more));
const open = (more: object) => {
  const body = { amount: '1000', currency: 'EUR', capture: 'manual', ...more };
  return mine.client.post('/v1/payments', { body, key: randomUUID() });
};
const ask = (id: string, what: string, body: object = {}) =>
  mine.client.post(`/v1/payments/${id}/${what}`, { body, key: randomUUID() });
const payment = async (id: string): Promise<Json> => (await mine.client.get(`/v1/payments/${id}`)).body;
const transactionsOf = async (id: string): Promise<Json[]> => {
  const { transactions } = await payment(id);
  return Promise.all(transactions.map(async (one: string) => (await mine.client.get(`/v1/transactions/${one}`)).body));
};
/** Of payments, in the order of the log. */
const eventsOf = async (): Promise<Json[]> => (await api.logOf(mine)).filter(({ type }) => type.startsWith('payment.'));
const AUTHORISED = { amount: '1000', currency: 'EUR' };

describe('what a fact posts', () => {
  test('takes effect when it happened, and what takes something back not before the newest that there was', async () => {
    const { payment_id } = await tell('authorised', AUTHORISED);
    const steps: [type: string, said: number, effective: number, more?: object][] = [
      ['captured', 60, 60, { amount: '700' }],
      ['refunded', 30, 60, { amount: '100' }],
      // Adds to what is held, and undoes nothing.
      ['authorised', 10, 10, { ...AUTHORISED, amount: '1200' }],
      ['voided', 40, 60],
      ['settled', 20, 60, { amount: '700', fee: '7' }],
      ['dispute_opened', 90, 90, { amount: '50', stage: 'chargeback' }],
      ['dispute_won', 80, 90],
    ];
    for (const [type, said, , more] of steps) {
      expect([type, (await tell(type, { occurred_at: atMinute(said), ...more })).outcome]).toEqual([type, 'applied']);
    }
    const posted = (await transactionsOf(payment_id)).map(({ type, effective_at }) => [type, effective_at]);
    expect(posted).toEqual([
      ['payment.authorised', atMinute(0)],
      ...steps.map(([type, , effective]) => [`payment.${type}`, atMinute(effective)]),
    ]);
  });

  test('takes nothing of a kind back before it came, whether or not the account has less by it', async () => {
    const { payment_id } = await tell('authorised', AUTHORISED);
    const steps: [type: string, said: number, effective: number, more: object][] = [
      ['captured', 60, 60, { amount: '1000', object_ref: 'c' }],
      ['settled', 60, 60, { amount: '1000' }],
      // Of what the processor owes nothing is left that it could take back.
      ['refunded', 30, 60, { amount: '300', object_ref: 'r' }],
      // The refund waits again: 700 less by two entries.
      ['capture_failed', 40, 60, { object_ref: 'c' }],
    ];
    for (const [type, said, , more] of steps) {
      expect([type, (await tell(type, { occurred_at: atMinute(said), ...more })).outcome]).toEqual([type, 'applied']);
    }
    const posted = await transactionsOf(payment_id);
    expect(posted.slice(1).map(({ effective_at }) => effective_at)).toEqual(
      steps.map(([, , effective]) => atMinute(effective)),
    );
    const whole = await tell('captured', { ...AUTHORISED, sequence: 1, payment_ref: 'w', object_ref: 'c' });
    await tell('refunded', { amount: '1000', payment_ref: 'w', occurred_at: atMinute(9) });
    await tell('capture_failed', { payment_ref: 'w', object_ref: 'c', occurred_at: atMinute(5) });
    const last = (await transactionsOf(whole.payment_id)).at(-1);
    const { type, effective_at, entries } = last as Json;
    expect([type, effective_at, entries.length]).toEqual(['payment.capture_failed', atMinute(9), 2]);
  });

  test('is of its payment: it names it, and its provider’s reference', async () => {
    const { body } = await open({ provider: 'acme', provider_ref: 'p' });
    await tell('captured', { amount: '400' });
    const { payment_id } = await tell('authorised', { ...AUTHORISED, payment_ref: 'q' });
    const own = (await open({})).body;
    for (const [id, ref, count] of [
      [body.id, 'p', 2],
      [payment_id, 'q', 1],
      [own.id, null, 1],
    ]) {
      const posted = (await transactionsOf(id)).map(({ external_ref, metadata }) => [external_ref, metadata]);
      expect(posted).toEqual(Array(count).fill([ref, { payment_id: id }]));
    }
  });

  test('of a request takes effect when that was accepted', async () => {
    const before = Date.now();
    const { body } = await open({});
    await ask(body.id, 'capture', { amount: '300', final: false });
    await ask(body.id, 'refund', { amount: '100' });
    await ask(body.id, 'void');
    const posted = await transactionsOf(body.id);
    expect(posted.map(({ type }) => type)).toEqual(
      ['authorised', 'captured', 'refunded', 'voided'].map((type) => `payment.${type}`),
    );
    const times = posted.map(({ effective_at }) => Date.parse(effective_at));
    expect(times).toEqual(times.toSorted((one, other) => one - other));
    expect(times.every((ms) => ms >= before && ms <= Date.now())).toBe(true);
  });
});

describe('events', () => {
  test('tell each fact that is applied, with the payment as it then is, and nothing of others', async () => {
    expect((await tell('captured', { amount: '700', object_ref: 'c', event_id: 'c', reason: 'order 7' })).outcome).toBe(
      'parked',
    );
    const founding = eventOf('authorised', { ...AUTHORISED, event_id: 'a' });
    const { payment_id } = await tellEvent(founding);
    const others: [object, string][] = [
      [founding, 'duplicate'],
      [{ ...founding, amount: '9' }, 'rejected'],
      [{ ...founding, event_id: 'again' }, 'stale'],
      [{ ...founding, event_id: 'foreign', currency: 'USD', type: 'refunded', amount: '1' }, 'rejected'],
      [{ ...founding, event_id: 'early', type: 'refunded', amount: '701' }, 'parked'],
    ];
    for (const [event, outcome] of others) expect((await tellEvent(event)).outcome).toBe(outcome);
    await tell('refunded', { amount: '200', event_id: 'r' });
    const [posted, refund] = (await payment(payment_id)).transactions;
    const told = (await eventsOf()).map(({ type, data }) => {
      const { status, amount_captured, amount_refunded } = data.payment;
      return [
        type,
        data.fact.event_id,
        data.transaction_id,
        { id: data.payment.id, status, amount_captured, amount_refunded },
      ];
    });
    const captured = { id: payment_id, status: 'partially_captured', amount_captured: '700', amount_refunded: '0' };
    expect(told).toEqual([
      ['payment.authorised', 'a', posted, captured],
      ['payment.captured', 'c', posted, captured],
      ['payment.refunded', 'r', refund, { ...captured, status: 'partially_refunded', amount_refunded: '200' }],
    ]);
    expect((await eventsOf())[1].data.fact).toEqual({
      source: 'provider',
      event_id: 'c',
      amount: '700',
      currency: null,
      object_ref: 'c',
      reason: 'order 7',
      occurred_at: atMinute(0),
    });
    const { timeline } = await payment(payment_id);
    const shown = timeline.map(({ event_id, outcome, transaction_id }: Json) => [event_id, outcome, transaction_id]);
    expect(shown).toEqual([
      ['c', 'applied', posted],
      ['a', 'applied', posted],
      ['a', 'rejected', null],
      ['again', 'stale', null],
      ['foreign', 'rejected', null],
      ['early', 'parked', null],
      ['r', 'applied', refund],
    ]);
  });
});

describe('what is told', () => {
  test('is the same to the millisecond, told again', async () => {
    const event = eventOf('authorised', AUTHORISED);
    const { payment_id } = await tellEvent(event);
    expect((await tellEvent(event)).outcome).toBe('duplicate');
    expect((await payment(payment_id)).timeline[0].occurred_at).toBe(event.occurred_at);
    const other = { ...event, occurred_at: event.occurred_at.replace('123Z', '124Z') };
    expect((await tellEvent(other)).outcome).toBe('rejected');
  });

  test('may be ahead by PROVIDER_CLOCK_SKEW_MS, and no more', async () => {
    const ahead = (seconds: number) =>
      tellEvent(
        eventOf('authorised', { ...AUTHORISED, occurred_at: new Date(Date.now() + seconds * 1_000).toISOString() }),
      );
    expect((await ahead(50)).outcome).toBe('applied');
    expect((await ahead(90)).code).toBe('validation_failed');
  });
});

test('payments of one provider without a reference are each their own', async () => {
  const [one, other] = [await open({ provider: 'acme' }), await open({ provider: 'acme' })];
  expect([one.status, other.status]).toEqual([201, 201]);
  expect(one.body.id).not.toBe(other.body.id);
});

test('more than was authorised can be captured, up to OVERCAPTURE_PERCENT', async () => {
  const { body } = await open({});
  const refused = await ask(body.id, 'capture', { amount: '1101' });
  expect([refused.status, refused.body.code]).toEqual([422, 'amount_exceeds_remaining']);
  const taken = (await ask(body.id, 'capture', { amount: '1100' })).body;
  expect([taken.amount_captured, taken.amount_capturable, taken.findings]).toEqual(['1100', '0', []]);
  const { payment_id } = await tell('authorised', AUTHORISED);
  await tell('captured', { amount: '1101' });
  expect((await payment(payment_id)).findings.map(({ kind }: Json) => kind)).toEqual(['overcaptured']);
});
