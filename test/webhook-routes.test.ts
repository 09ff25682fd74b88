import { Redis } from 'ioredis';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, expect, inject, onTestFinished, test } from 'vitest';
import { HintReceiver } from '#outbox/log/hints.js';
import { createLogger } from '#platform/logging.js';
import { type Answer, type Json, type Merchant, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';
import { TestWebhooks } from './support/webhooks.js';

const PATH = '/v1/webhook_endpoints';

let api: TestApi;
let contract: Contract;
let hooks: TestWebhooks;
let shop: Merchant;
let sink: WebhookSink;

beforeAll(async () => {
  api = await TestApi.start({ environment: { WEBHOOK_ALLOW_LOOPBACK: '1', WEBHOOK_ENDPOINTS_PER_MERCHANT: '4' } });
  contract = await Contract.hold(api);
  hooks = await TestWebhooks.open(api.on);
  shop = await api.merchant();
  sink = await WebhookSink.open();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await Promise.all([hooks.close(), sink.close()]);
  await api.stop();
});

const create = (body: object, as: Merchant = shop): Promise<Answer> => as.client.post(PATH, { body });
const deliveriesOf = async (id: string, as: Merchant = shop): Promise<Json[]> =>
  (await as.client.get(`${PATH}/${id}/deliveries`)).body.data;

test('an endpoint is shown with its secret once, listed without it, and gone when deleted', async () => {
  const body = { url: 'https://example.com/hooks?shop=7', event_types: ['transaction.posted', 'account.closed'] };
  const created = await create(body);
  expect(created.status).toBe(201);
  expect(created.body).toMatchObject({ ...body, merchant_id: shop.id, status: 'enabled', disabled_reason: null });
  const { secret, ...shown } = created.body;
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  const path = `${PATH}/${shown.id}`;
  const [got, listed] = [await shop.client.get(path), await shop.client.get(PATH)];
  expect(got.body).toEqual(shown);
  expect(listed.body.data).toEqual([shown]);
  for (const answer of [got, listed]) expect(answer.text).not.toContain('whsec_');
  expect((await shop.client.request('DELETE', path)).status).toBe(204);
  expect((await shop.client.request('DELETE', path)).status).toBe(404);
  for (const suffix of ['', '/deliveries']) expect((await shop.client.get(path + suffix)).status).toBe(404);
  for (const verb of ['enable', 'rotate_secret']) expect((await shop.client.post(`${path}/${verb}`)).status).toBe(404);
  expect((await shop.client.get(PATH)).body.data).toEqual([]);
});

test('deliveries have no order unless they are to be strict', async () => {
  const merchant = await api.merchant();
  const url = 'https://example.com/';
  for (const [body, ordering] of [
    [{ url }, 'none'],
    [{ url, ordering: 'none' }, 'none'],
    [{ url, ordering: 'strict' }, 'strict'],
  ] as const) {
    const created = await create(body, merchant);
    expect([created.status, created.body.ordering]).toEqual([201, ordering]);
    expect((await merchant.client.get(`${PATH}/${created.body.id}`)).body.ordering).toBe(ordering);
  }
});

test('types are all when they are not named', async () => {
  const merchant = await api.merchant();
  for (const body of [{ url: 'https://example.com/' }, { url: 'https://example.com/', event_types: null }]) {
    expect((await create(body, merchant)).body.event_types).toBeNull();
  }
});

test.each([
  ['url', {}],
  ['ordering', { url: 'https://example.com/', ordering: 'loose' }],
  ['url', { url: 7 }],
  ['url', { url: '' }],
  ['url', { url: 'example.com' }],
  ['url', { url: 'http://example.com/' }],
  ['url', { url: 'https://example.com:25/' }],
  ['url', { url: 'https://me:secret@example.com/' }],
  ['url', { url: 'https://169.254.169.254/latest/meta-data' }],
  ['url', { url: 'https://0xa.1/' }],
  ['url', { url: 'https://[fd00::1]/' }],
  ['url', { url: `https://example.com/${'x'.repeat(2_048)}` }],
  ['event_types', { url: 'https://example.com/', event_types: [] }],
  ['event_types.0', { url: 'https://example.com/', event_types: ['account.exploded'] }],
  ['event_types', { url: 'https://example.com/', event_types: ['account.closed', 'account.closed'] }],
  ['event_types', { url: 'https://example.com/', event_types: 'account.closed' }],
  ['secret', { url: 'https://example.com/', secret: 'whsec_mine' }],
  ['status', { url: 'https://example.com/', status: 'disabled' }],
])('%s is refused in %j', async (path, body) => {
  const answer = await create(body);
  expect([answer.status, answer.body.code, answer.body.errors[0].path]).toEqual([422, 'validation_failed', path]);
  expect(answer.text).not.toContain('secret@');
});

test('this machine is refused unless the environment allows it', async () => {
  const strict = await TestApi.start({ on: api.on });
  try {
    const merchant = shop.via(strict);
    for (const url of [sink.url, 'https://localhost/', 'https://127.0.0.1/', 'https://[::1]/']) {
      expect((await create({ url }, merchant)).body).toMatchObject({ status: 422, errors: [{ path: 'url' }] });
    }
  } finally {
    await strict.stop();
  }
});

test('a merchant has a bounded number of endpoints, deleted ones not counted', async () => {
  const merchant = await api.merchant();
  const ids = [];
  for (let i = 0; i < 4; i += 1) ids.push((await create({ url: `https://example.com/${i}` }, merchant)).body.id);
  const more = await create({ url: 'https://example.com/more' }, merchant);
  expect([more.status, more.body.detail]).toEqual([422, expect.stringContaining('at most 4')]);
  await merchant.client.request('DELETE', `${PATH}/${ids[0]}`);
  expect((await create({ url: 'https://example.com/more' }, merchant)).status).toBe(201);
  const pages = [];
  for (let cursor = ''; cursor !== 'null'; ) {
    const { body } = await merchant.client.get(`${PATH}?limit=3${cursor && `&cursor=${cursor}`}`);
    pages.push(body.data.map(({ url }: Json) => url));
    cursor = String(body.next_cursor);
  }
  expect(pages).toEqual([
    ['https://example.com/more', 'https://example.com/3', 'https://example.com/2'],
    ['https://example.com/1'],
  ]);
});

test('deliveries are listed with what came of them, and sent again on demand', async () => {
  const merchant = await api.merchant();
  const { body: endpoint } = await create({ url: sink.url, event_types: ['account.created'] }, merchant);
  const { body: account } = await merchant.client.post('/v1/accounts', {
    body: { code: 'a', name: 'A', currency: 'EUR', normal_side: 'debit' },
  });
  await hooks.fanOut(BigInt(merchant.id));
  const [due] = await deliveriesOf(endpoint.id, merchant);
  expect(due).toMatchObject({ status: 'due', attempts: 0, endpoint_id: endpoint.id, log: [], delivered_at: null });
  sink.respond = status(200, {}, 'got it');
  const sender = hooks.sender();
  await hooks.sendAll(sender, BigInt(merchant.id), BigInt(endpoint.id));
  const [delivered] = await deliveriesOf(endpoint.id, merchant);
  expect(delivered).toMatchObject({
    id: due.id,
    event: sink.received.at(-1)?.id,
    event_type: 'account.created',
    status: 'delivered',
    attempts: 1,
    next_attempt_at: null,
    log: [{ attempt: 1, status_code: 200, error: null, response: 'got it' }],
  });
  const message = sink.received.at(-1);
  expect(message?.body).toMatchObject({ type: 'account.created', data: { account_id: account.id, code: 'a' } });
  const again = await merchant.client.post(`/v1/webhook_deliveries/${due.id}/redeliver`);
  expect([again.status, again.body.status]).toEqual([202, 'due']);
  await hooks.sendAll(sender, BigInt(merchant.id), BigInt(endpoint.id));
  expect(sink.received.at(-1)?.id).toBe(message?.id);
  expect((await deliveriesOf(endpoint.id, merchant))[0]).toMatchObject({ status: 'delivered', attempts: 2 });
});

test('a rotated secret is shown once and signs from then on; an enabled endpoint may be enabled again', async () => {
  const merchant = await api.merchant();
  const { body: endpoint } = await create({ url: sink.url }, merchant);
  const rotated = await merchant.client.post(`${PATH}/${endpoint.id}/rotate_secret`, { body: {} });
  expect([rotated.status, rotated.body.id]).toEqual([200, endpoint.id]);
  expect(rotated.body.secret).not.toBe(endpoint.secret);
  const enabled = await merchant.client.post(`${PATH}/${endpoint.id}/enable`);
  expect([enabled.status, enabled.body.status]).toEqual([200, 'enabled']);
  await merchant.open('b');
  await hooks.fanOut(BigInt(merchant.id));
  await hooks.sendAll(hooks.sender(), BigInt(merchant.id), BigInt(endpoint.id));
  const { text, headers } = sink.received.at(-1) as WebhookSink['received'][number];
  for (const { secret } of [endpoint, rotated.body]) {
    expect(new Webhook(secret).verify(text, headers as Record<string, string>)).toMatchObject({ data: { code: 'b' } });
  }
});

test('a disabled endpoint says why, refuses redelivery, and is enabled by its merchant', async () => {
  const merchant = await api.merchant();
  const { body: endpoint } = await create({ url: sink.url }, merchant);
  await merchant.open('c');
  await hooks.fanOut(BigInt(merchant.id));
  sink.respond = status(410);
  const sender = hooks.sender();
  await sender.round();
  await sender.idle();
  sink.respond = status(200);
  const path = `${PATH}/${endpoint.id}`;
  const { body: shown } = await merchant.client.get(path);
  expect(shown).toMatchObject({ status: 'disabled', disabled_reason: 'gone', failing_since: expect.any(String) });
  const [delivery] = await deliveriesOf(endpoint.id, merchant);
  const refused = await merchant.client.post(`/v1/webhook_deliveries/${delivery.id}/redeliver`);
  expect([refused.status, refused.body.code]).toEqual([409, 'invalid_transition']);
  expect((await merchant.client.post(`${path}/enable`)).body).toMatchObject({ status: 'enabled', failing_since: null });
  await hooks.sendAll(sender, BigInt(merchant.id), BigInt(endpoint.id));
  expect((await deliveriesOf(endpoint.id, merchant))[0].status).toBe('delivered');
});

test('senders are told at once of what is to be sent again, and of an endpoint that is enabled', async () => {
  const merchant = await api.merchant();
  const { body: endpoint } = await create({ url: sink.url }, merchant);
  await merchant.open('d');
  await hooks.fanOut(BigInt(merchant.id));
  const [delivery] = await deliveriesOf(endpoint.id, merchant);
  let told = 0;
  const logger = createLogger({ level: 'silent', service: 'test' });
  const topic = 'webhooks';
  const [url, database] = [inject('redisUrl'), api.on.runtimeUrl];
  const receiver = new HintReceiver(url, database, { onHint: () => told++, logger, topic });
  const redis = new Redis(url);
  onTestFinished(() => {
    receiver.close();
    redis.disconnect();
  });
  const channel = `counterfoil:${topic}:${new URL(database).pathname.slice(1)}`;
  await until('it listens', async () => Number((await redis.pubsub('NUMSUB', channel))[1]) > 0);
  for (const path of [`/v1/webhook_deliveries/${delivery.id}/redeliver`, `${PATH}/${endpoint.id}/enable`]) {
    const before = told;
    expect((await merchant.client.post(path)).status).toBeLessThan(300);
    await until(`a sender is told: ${path}`, () => told > before);
  }
});

test('every route of webhooks has been answered with success above', () => {
  const routes = contract.routes.filter((route) => route.includes('/webhook_'));
  expect(routes).toHaveLength(8);
  const unanswered = routes.filter((route) => ![...(contract.seen.get(route) ?? [])].some((code) => code < 300));
  expect(unanswered).toEqual([]);
});
