import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Client, Json } from './support/api.js';
import { type ProviderOptions, SimulatedProvider } from './support/simulated-provider.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';

const API_KEY = 'the-key-of-the-account';
const SECRET = `whsec_${Buffer.from('a secret of the account').toString('base64')}`;
const SINCE = '2026-11-20T00:00:00.000Z';

let sink: WebhookSink;
let provider: SimulatedProvider;

beforeEach(async () => {
  sink = await WebhookSink.open();
});
afterEach(async () => {
  provider.stop();
  await sink.close();
});

async function start(rates: ProviderOptions['rates'] = {}, courier: ProviderOptions['courier'] = {}) {
  provider = await SimulatedProvider.start({ rates, courier });
  return {
    setUp: provider.setUp,
    account: provider.withKey(API_KEY),
    open: () => ({ url: sink.url, secret: SECRET, api_key: API_KEY, currency: 'EUR', since: SINCE }),
  };
}

const refs = (count: number): string[] => Array.from({ length: count }, (_, n) => `order-${n}`);

const REFS = refs(20);

/** Every fact that it holds to be true, by its event's name. */
async function truth(account: Client, names: readonly string[] = REFS): Promise<Map<string, Json>> {
  const answers = await Promise.all(names.map((ref) => account.get(`/payments/${ref}`)));
  return new Map(answers.flatMap(({ body }) => body.events).map((event: Json) => [event.event_id, event]));
}

describe('the provider simulator', () => {
  test('tells all that it holds to be true as signed webhooks: shuffled, twice, and some late', async () => {
    const { setUp, account, open } = await start({ echoes: 0 });
    expect(await setUp.request('PUT', '/accounts/shop', { body: open() })).toMatchObject({ status: 200 });
    const held = await setUp.post('/accounts/shop/payments', { body: { refs: REFS } });
    expect(held).toMatchObject({ status: 202, body: { payments: 20 } });
    const facts = await truth(account);
    await until('all is told', () => sink.received.length === 2 * facts.size);
    const counts = new Map<string, number>();
    for (const { text, headers, id, body } of sink.received) {
      expect(new Webhook(SECRET).verify(text, headers as Record<string, string>)).toEqual(facts.get(id));
      counts.set(body.event_id, (counts.get(body.event_id) ?? 0) + 1);
    }
    expect([...counts.values()].every((count) => count === 2)).toBe(true);
    expect(sink.received.map(({ id }) => id)).not.toEqual([...counts.keys()].sort());
    const last = new Set(sink.received.slice(-10).map(({ body }) => body.payment_ref));
    expect(last.size, 'what is late is of any payment').toBeGreaterThan(1);
  });

  test('holds the same for the same seed, and tells nothing anew that it holds already', async () => {
    const first = await start();
    await first.setUp.request('PUT', '/accounts/shop', { body: first.open() });
    await first.setUp.post('/accounts/shop/payments', { body: { refs: REFS } });
    const facts = await truth(first.account);
    const told = await until('all is told', async () => {
      const { body } = await first.setUp.get('/accounts/shop');
      return body.waiting === 0 && body;
    });
    expect((await first.setUp.post('/accounts/shop/payments', { body: { refs: REFS } })).body).toEqual(told);
    provider.stop();
    const second = await start();
    await second.setUp.request('PUT', '/accounts/another-name', { body: second.open() });
    await second.setUp.post('/accounts/another-name/payments', { body: { refs: REFS.toReversed() } });
    expect(await truth(second.account)).toEqual(facts);
  });

  test('tries again until it is answered 2xx, with a new stamp each time, and gives up after so many tries', async () => {
    const { setUp, open } = await start({ copies: 1, echoes: 0 }, { attempts: 3 });
    await setUp.request('PUT', '/accounts/shop', { body: open() });
    const tries = new Map<string, number>();
    const isLost = (id: string) => id.endsWith('-1');
    sink.respond = (response, { id }) => {
      tries.set(id, (tries.get(id) ?? 0) + 1);
      status(isLost(id) || tries.get(id) === 1 ? 503 : 204)(response);
    };
    await setUp.post('/accounts/shop/payments', { body: { refs: ['order-1', 'order-2'], plot: 'purchase' } });
    const { body: counts } = await until('all is told or given up', async () => {
      const answer = await setUp.get('/accounts/shop');
      return answer.body.waiting === 0 && answer;
    });
    const [lost, told] = [...tries].reduce(
      ([l, t], [id, count]) => (isLost(id) ? [[...l, count], t] : [l, [...t, count]]),
      [[], []] as [number[], number[]],
    );
    expect(lost).toEqual([3, 3]);
    expect(new Set(told)).toEqual(new Set([2]));
    expect(counts).toMatchObject({ told: told.length, givenUp: 2, failed: told.length + 6 });
  });

  test('a receiver that hangs costs one request its time, and is asked again', async () => {
    const { setUp, open } = await start({ copies: 1, echoes: 0 }, { timeoutMs: 50 });
    await setUp.request('PUT', '/accounts/shop', { body: open() });
    let hanging = true;
    sink.respond = (response) => {
      if (!hanging) status(204)(response);
    };
    await setUp.post('/accounts/shop/payments', { body: { refs: ['order-1'], plot: 'sale' } });
    await until('a request failed', async () => (await setUp.get('/accounts/shop')).body.failed > 0);
    hanging = false;
    await until('all is told', async () => (await setUp.get('/accounts/shop')).body.waiting === 0);
    expect((await setUp.get('/accounts/shop')).body.givenUp).toBe(0);
  });

  test('tells one payment backwards when asked: the latest first, each twice by the same event, one after the other', async () => {
    const { setUp, account, open } = await start({ echoes: 1 });
    await setUp.request('PUT', '/accounts/shop', { body: open() });
    await setUp.post('/accounts/shop/payments', { body: { refs: ['order-1'], plot: 'purchase', tell: 'backwards' } });
    const events = [...(await truth(account, ['order-1'])).keys()];
    await until('all is told', () => sink.received.length === 2 * events.length);
    expect(sink.ids).toEqual(events.toReversed().flatMap((id) => [id, id]));
    expect(sink.most).toBe(1);
  });

  test.each(['other_content', 'other_currency', 'voided', 'captured_beyond', 'settled_again'])(
    'contradicts itself on demand: %s, the same each time',
    async (kind) => {
      const { setUp, account, open } = await start({ copies: 1, echoes: 0 });
      await setUp.request('PUT', '/accounts/shop', { body: open() });
      await setUp.post('/accounts/shop/payments', { body: { refs: ['order-1'], plot: 'purchase' } });
      const facts = await truth(account, ['order-1']);
      await until('all is told', () => sink.received.length === facts.size);
      const contradict = () => setUp.post('/accounts/shop/payments/order-1/contradict', { body: { kind } });
      const [first, second] = [await contradict(), await contradict()];
      expect([first.status, second.body]).toEqual([202, first.body]);
      await until('both are told', () => sink.received.length === facts.size + 2);
      expect(sink.received.at(-1)?.body).toEqual(first.body);
      expect(first.body).not.toEqual(facts.get(first.body.event_id));
      expect(await truth(account, ['order-1']), 'it does not believe it').toEqual(facts);
    },
  );

  test('shows a payment to its account only', async () => {
    const { setUp, account, open } = await start();
    await setUp.request('PUT', '/accounts/shop', { body: open() });
    await setUp.request('PUT', '/accounts/other', { body: { ...open(), api_key: 'the-key-of-another' } });
    await setUp.post('/accounts/other/payments', { body: { refs: ['order-1'] } });
    expect((await account.get('/payments/order-1')).status).toBe(404);
    expect((await setUp.get('/payments/order-1')).status).toBe(404);
    expect((await account.get('/accounts/shop')).status).toBe(401);
    expect((await account.request('PUT', '/accounts/shop', { body: open() })).status).toBe(401);
  });

  test('reports what it holds to be true to the account alone, wrong where it is asked to be, and says what is', async () => {
    const { setUp, account, open } = await start({ echoes: 0 });
    await setUp.request('PUT', '/accounts/shop', { body: open() });
    await setUp.post('/accounts/shop/payments', { body: { refs: REFS, plot: 'purchase' } });
    const facts = [...(await truth(account)).values()];
    const right = await account.get('/reports/generic');
    expect([right.status, right.headers.get('content-type')]).toEqual([200, 'text/csv; charset=utf-8']);
    const lines = right.text.trimEnd().split('\n');
    expect(lines.filter((line) => line.includes(',payment,')).length).toBe(
      facts.filter(({ type }) => type === 'captured').length,
    );
    expect(right.headers.get('planted-faults')).toBe('[]');
    const wrong = await account.get('/reports/generic?faults=missing_row,amount');
    const planted = JSON.parse(wrong.headers.get('planted-faults') ?? '');
    expect(planted.map(({ fault }: Json) => fault).sort()).toEqual(['amount', 'missing_row']);
    expect(wrong.text).not.toContain(planted.find(({ fault }: Json) => fault === 'missing_row').object_ref);
    for (const format of ['adyen_settlement_detail', 'stripe_payout_reconciliation'])
      expect((await account.get(`/reports/${format}`)).text).toContain(REFS[0]);
    expect((await setUp.get('/reports/generic')).status).toBe(404);
  });

  test.each(['none', 'generic?faults=none', 'generic?from=yesterday', 'generic?batch=a&batch=b', 'generic?more=1'])(
    'refuses a report %s',
    async (report) => {
      const { setUp, account, open } = await start();
      await setUp.request('PUT', '/accounts/shop', { body: open() });
      expect((await account.get(`/reports/${report}`)).status).toBe(422);
    },
  );

  test.each([
    ['no JSON', 'PUT', '/accounts/shop', '{'],
    ['no secret', 'PUT', '/accounts/shop', '{}'],
    ['an account that is not there', 'POST', '/accounts/none/payments', '{"refs":["a"]}'],
    ['no names', 'POST', '/accounts/shop/payments', '{"refs":[]}'],
    ['more than can wait', 'POST', '/accounts/shop/payments', JSON.stringify({ refs: refs(300) })],
  ])('refuses %s', async (_, method, path, raw) => {
    const { setUp, open } = await start({}, { capacity: 200 });
    await setUp.request('PUT', '/accounts/shop', { body: open() });
    expect((await setUp.request(method, path, { raw })).status).toBe(422);
    expect((await setUp.get('/accounts/shop')).body).toMatchObject({ payments: 0, waiting: 0 });
  });
});
