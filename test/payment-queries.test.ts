import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, type Json, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { DuePayments } from './support/due-payments.js';
import { ACME_SECRET, ADYEN_SECRET, STRIPE_SECRET } from './support/provider-senders.js';
import { SimulatedProvider } from './support/simulated-provider.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { startWorker } from './support/worker.js';

const KIND = 'payment_query';
const [MINUTE_S, HOUR_S, DAY_S] = [60, 3_600, 86_400];
const TOKEN = 'the-token-of-the-shop';

let api: TestApi;
let bystander: Bystander;
let due: DuePayments;
let provider: WebhookSink;

beforeAll(async () => {
  api = await TestApi.start({ environment: { WEBHOOK_ALLOW_LOOPBACK: '1' } });
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
  provider = await WebhookSink.open();
});
beforeEach(async () => {
  due = new DuePayments(api, await api.merchant(), bystander);
  provider.received.length = 0;
  provider.respond = status(404);
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await expectVerified(api.on);
});
afterAll(async () => {
  await provider.close();
  await bystander.close();
  await api.stop();
});

const set = (name: string, body: object): Promise<Answer> =>
  due.shop.client.request('PUT', `/v1/providers/${name}`, { body });
const connect = (query: object = { query_url: provider.url, query_token: TOKEN }) =>
  set('acme', { webhook_secret: ACME_SECRET, ...query });
const answers = async (): Promise<Json[]> =>
  (
    await bystander.client.query(
      `SELECT subject, times, outcome, detail FROM payment_queries WHERE merchant_id = $1 ORDER BY subject`,
      [due.shop.id],
    )
  ).rows;
const dueIn = async () => (await due.due(KIND)).map(({ in_s }) => Math.round(in_s / MINUTE_S));
const event = (ref: string, more: object) => ({
  event_id: `e-${JSON.stringify(more)}`,
  payment_ref: ref,
  currency: 'EUR',
  occurred_at: new Date(Date.now() - 600_000).toISOString(),
  ...more,
});
const tells = (...events: object[]) => status(200, {}, JSON.stringify({ payment_ref: 'x', events }));

describe('a provider', () => {
  test('is asked where PUT says so, and never shows what it is asked with', async () => {
    const answer = await connect({ query_url: `${provider.url}/`, query_token: TOKEN });
    expect(answer.body.query).toEqual({ url: provider.url });
    const shown = await due.shop.client.get('/v1/providers/acme');
    expect(shown.body).toEqual(answer.body);
    expect(answer.text + shown.text).not.toContain(TOKEN);
    expect((await connect({})).body.query).toEqual({ url: provider.url });
    expect((await connect({ query_token: null })).body.query).toBeNull();
    expect((await set('stripe', { webhook_secret: STRIPE_SECRET, query_token: TOKEN })).body.query).toEqual({
      url: null,
    });
  });

  test.each([
    ['adyen', { webhook_secret: ADYEN_SECRET, query_url: 'https://example.com', query_token: TOKEN }, 'query_token'],
    ['stripe', { webhook_secret: STRIPE_SECRET, query_url: 'https://example.com', query_token: TOKEN }, 'query_url'],
    ['acme', { webhook_secret: ACME_SECRET, query_token: TOKEN }, 'query_url'],
    ['acme', { webhook_secret: ACME_SECRET, query_url: 'https://example.com' }, 'query_token'],
    ['acme', { webhook_secret: ACME_SECRET, query_url: 'https://10.0.0.1/', query_token: TOKEN }, 'query_url'],
    ['acme', { webhook_secret: ACME_SECRET, query_url: 'http://example.com', query_token: TOKEN }, 'query_url'],
  ])('%s is not asked with %j', async (name, body, path) => {
    const answer = await set(name, body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, path]);
    expect((await due.shop.client.get(`/v1/providers/${name}`)).status).toBe(404);
  });

  test('that is deleted is asked no more, and nothing is asked of one that never was', async () => {
    await due.tell('p1', 'refunded', { amount: '1' });
    expect(await due.due(KIND)).toEqual([]);
    await connect();
    await due.tell('p2', 'refunded', { amount: '1' });
    expect(await due.due(KIND)).toHaveLength(1);
    await due.shop.client.request('DELETE', '/v1/providers/acme');
    await due.pass(KIND, HOUR_S);
    expect(await due.queries().work.round()).toBe(1);
    expect([await due.due(KIND), provider.received]).toEqual([[], []]);
  });
});

describe('what is unknown', () => {
  test('is asked for after 5 minutes, an hour, and daily from then on; that nothing is known is kept', async () => {
    await connect();
    await due.tell('p 1', 'refunded', { amount: '300' });
    expect(await dueIn()).toEqual([5]);
    for (const [times, [age, next]] of [
      [5 * MINUTE_S, 60],
      [HOUR_S, 24 * 60],
      [DAY_S, 2 * 24 * 60],
      [2 * DAY_S, 3 * 24 * 60],
    ].entries()) {
      await due.pass(KIND, 4 * DAY_S);
      expect(await due.queries({ aheadMs: (age as number) * 1_000 }).work.round()).toBe(1);
      expect(await dueIn()).toEqual([next]);
      expect(await answers()).toEqual([{ subject: 'acme/p 1', times: times + 1, outcome: 'nothing', detail: null }]);
    }
    expect(provider.received.map(({ path }) => path)).toEqual(Array(4).fill('/hooks/p%201'));
    expect(provider.received[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  });

  test('comes home when the provider knows it, and a webhook that tells the same later is a duplicate', async () => {
    const simulated = await SimulatedProvider.start();
    try {
      const api_key = 'k'.repeat(32);
      // Its webhooks find nobody: all that is known of its payments is asked for.
      const account = {
        url: 'http://127.0.0.1:9/',
        secret: ACME_SECRET,
        api_key,
        currency: 'EUR',
        since: '2026-11-01T00:00:00.000Z',
      };
      await simulated.setUp.request('PUT', '/accounts/acme', { body: account });
      await simulated.setUp.post('/accounts/acme/payments', { body: { refs: ['home'] } });
      await connect({ query_url: `${simulated.place.url}/payments`, query_token: api_key });
      const { events } = (await simulated.withKey(api_key).get('/payments/home')).body;
      const { payment_ref, type, ...last } = events.at(-1);
      expect(
        await due.tell(payment_ref, 'refund_failed', { amount: '1', event_id: 'not-theirs', object_ref: 'x' }),
      ).toEqual({
        outcome: 'parked',
      });
      await due.pass(KIND, HOUR_S);
      expect(await due.queries().work.round()).toBe(1);
      expect(await due.due(KIND)).toEqual([]);
      expect(await answers()).toMatchObject([{ outcome: 'told' }]);
      const [payment] = (await due.shop.client.get('/v1/payments?provider_ref=home')).body.data;
      const ids = (await due.get(payment.id)).timeline.map(({ event_id }: Json) => event_id);
      expect(ids).toEqual(expect.arrayContaining(events.map(({ event_id }: Json) => event_id)));
      expect(await due.tell(payment_ref, type, last)).toEqual({ outcome: 'duplicate', payment_id: payment.id });
    } finally {
      simulated.stop();
    }
  });
});

describe('what a merchant has asked for', () => {
  test('is asked about until the provider confirms it', async () => {
    await connect();
    const { id } = await due.open({ provider: 'acme', provider_ref: 'p1' });
    expect(await dueIn()).toEqual([5]);
    provider.respond = tells(event('p1', { type: 'authorised', amount: '1000' }));
    await due.pass(KIND, HOUR_S);
    await due.queries().work.round();
    expect(await due.due(KIND)).toEqual([]);
    await due.ask(id, 'capture', { amount: '600' });
    expect(await due.due(KIND)).toMatchObject([{ subject: id }]);
    await due.ask(id, 'refund', { amount: '100' });
    provider.respond = tells(
      event('p1', { type: 'authorised', amount: '1000' }),
      event('p1', { type: 'captured', amount: '600' }),
    );
    await due.pass(KIND, HOUR_S);
    await due.queries().work.round();
    const { captures, refunds } = await due.get(id);
    expect([captures[0].status, refunds[0].status]).toEqual(['succeeded', 'requested']);
    expect(await due.due(KIND)).toMatchObject([{ subject: id }]);
    await due.tell('p1', 'refunded', { amount: '100' });
    expect(await due.due(KIND)).toEqual([]);
  });

  test('is not asked about where no provider knows the payment, nor once nothing is held any more', async () => {
    await connect();
    await due.open();
    await due.open({ provider: 'acme' });
    const { id } = await due.open({ provider: 'acme', provider_ref: 'p1' });
    await due.ask(id, 'void');
    expect(await due.due(KIND)).toEqual([]);
  });

  test('of Stripe is asked for as PaymentIntent with its charge', async () => {
    await set('stripe', { webhook_secret: STRIPE_SECRET, query_token: 'sk_test_1' });
    const { id } = await due.open({ provider: 'stripe', provider_ref: 'pi_1', capture: 'automatic' });
    const created = Math.floor(Date.now() / 1_000) - 60;
    const latest_charge = {
      id: 'ch_1',
      object: 'charge',
      amount: 1_000,
      amount_captured: 1_000,
      amount_refunded: 0,
      captured: true,
      currency: 'eur',
      created,
      status: 'succeeded',
      payment_intent: 'pi_1',
    };
    const intent = {
      id: 'pi_1',
      object: 'payment_intent',
      status: 'succeeded',
      capture_method: 'automatic',
      amount: 1_000,
    };
    provider.respond = status(200, {}, JSON.stringify({ ...intent, currency: 'eur', created, latest_charge }));
    await due.pass(KIND, HOUR_S);
    await due.queries({ stripeApiUrl: provider.url }).work.round();
    expect(provider.received).toMatchObject([{ path: '/hooks/v1/payment_intents/pi_1?expand[]=latest_charge' }]);
    expect(provider.received[0]?.headers.authorization).toBe('Bearer sk_test_1');
    const payment = await due.get(id);
    expect(payment).toMatchObject({ status: 'captured', amount_captured: '1000', captures: [{ status: 'succeeded' }] });
    // As its webhook charge.succeeded has them.
    expect(payment.timeline.map(({ event_id }: Json) => event_id)).toEqual(
      expect.arrayContaining(['authorised:ch_1:1000', 'captured:ch_1:1000']),
    );
    expect(await due.due(KIND)).toEqual([]);
  });
});

describe('a provider that does not answer as it should', () => {
  test.each([
    ['with a failure', status(500), 'answered 500'],
    ['with what cannot be read', status(200, {}, '{"events"'), 'the answer cannot be read'],
    ['with a redirect', status(302, { location: 'http://127.0.0.1/' }), 'answered 302'],
  ])('%s is asked again after longer and longer, and then at its next time', async (_, respond, detail) => {
    await connect();
    provider.respond = respond;
    await due.tell('p1', 'refunded', { amount: '300' });
    await due.pass(KIND, HOUR_S);
    const queries = due.queries();
    const { work } = queries;
    for (let tries = 1; tries < 5; tries += 1) {
      expect([await work.round(), work.failures]).toEqual([0, tries]);
      expect(await due.due(KIND)).toMatchObject([{ attempts: tries }]);
      await bystander.client.query('UPDATE due_rows SET try_at = due_at WHERE kind = $1', [KIND]);
    }
    expect(await work.round()).toBe(1);
    expect(await dueIn()).toEqual([5]);
    expect(await answers()).toEqual([{ subject: 'acme/p1', times: 5, outcome: 'failed', detail }]);
    expect(queries.counts).toEqual({ told: 0, nothing: 0, failed: 5 });
  });

  test('no more questions are asked at once than the setting allows', async () => {
    await connect();
    await Promise.all(Array.from({ length: 20 }, (_, n) => due.tell(`p${n}`, 'refunded', { amount: '1' })));
    await due.pass(KIND, HOUR_S);
    const held: (() => void)[] = [];
    provider.respond = (response) => void held.push(() => response.writeHead(404).end());
    const { work } = due.queries();
    const round = work.round();
    await until('as many as may be are asked', () => held.length === 8);
    for (const answer of held) answer();
    expect(await round).toBe(8);
    expect(provider.received).toHaveLength(8);
    provider.respond = status(404);
    expect([await work.round(), await work.round(), await work.round()]).toEqual([8, 4, 0]);
  });

  test('two workers ask once', async () => {
    await connect();
    await due.tell('p1', 'refunded', { amount: '1' });
    await due.pass(KIND, HOUR_S);
    const rounds = await Promise.all([due.queries().work.round(), due.queries().work.round()]);
    expect([rounds[0] + rounds[1], provider.received.length]).toEqual([1, 1]);
  });
});

test('a worker asks by itself', async () => {
  await connect();
  provider.respond = tells(event('p1', { type: 'captured', amount: '500', sequence: 1 }));
  await due.tell('p1', 'refunded', { amount: '200' });
  await due.pass(KIND, HOUR_S);
  const stop = await startWorker(api.on, { PAYMENT_TIMERS_POLL_MS: '50', WEBHOOK_ALLOW_LOOPBACK: '1' });
  try {
    const payment = await until(
      'the payment is known',
      async () => (await due.shop.client.get('/v1/payments?provider_ref=p1')).body.data[0],
    );
    expect(payment).toMatchObject({ amount_captured: '500', amount_refunded: '200' });
    await until('it is asked no more', async () => (await due.due(KIND)).length === 0);
  } finally {
    await stop();
  }
});
