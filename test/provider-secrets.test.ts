import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { newKey, secretOf } from '#platform/standard-webhooks.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { ACME_SECRET, acmeSigned } from './support/provider-senders.js';
import { commandsOf, curlRequest, sectionOf } from './support/shell.js';

const PATH = '/v1/providers';
const HOUR_MS = 3_600_000;

let api: TestApi;
let contract: Contract;
let shop: Merchant;

beforeAll(async () => {
  // Sixty-four changes of one merchant go one by one, and the last of them waits for a connection for as long.
  const environment = { PROVIDERS_PER_MERCHANT: '4', DATABASE_CONNECT_TIMEOUT_MS: '8000' };
  api = await TestApi.start({ environment });
  contract = await Contract.hold(api);
  shop = await api.merchant();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

const set = (provider: string, body: object, as: Merchant = shop) =>
  as.client.request('PUT', `${PATH}/${provider}`, { body });
const secret = () => secretOf(newKey());
const isoIn = (ms: number) => new Date(Date.now() + ms).toISOString();
const eventsOf = async (merchant: Merchant): Promise<Json[]> =>
  (await api.logOf(merchant)).filter(({ type }) => type === 'provider.secret_changed');

test('a secret is set, and nothing ever shows it', async () => {
  const own = await api.merchant();
  const webhook_secret = secret();
  const answer = await set('acme', { webhook_secret }, own);
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({
    provider: 'acme',
    webhook_path: `/v1/providers/acme/merchants/${own.id}/webhook`,
    secrets: [{ valid_until: null }],
  });
  const answers = [answer, await own.client.get(`${PATH}/acme`), await own.client.get(PATH)];
  expect(answers[1]?.body).toEqual(answer.body);
  expect(answers[2]?.body.data).toEqual([answer.body]);
  for (const { text } of answers) expect(text).not.toContain(webhook_secret.slice(-20));
  const [event, ...more] = await eventsOf(own);
  expect([event?.data, more]).toEqual([{ provider: 'acme', change: 'set' }, []]);
  expect(JSON.stringify(event)).not.toContain(webhook_secret.slice(-20));
});

test('the one before stays valid for a while, or for as long as is asked for', async () => {
  const [first, second] = [secret(), secret()];
  await set('acme', { webhook_secret: first });
  const [current, before, ...more] = (await set('acme', { webhook_secret: second })).body.secrets;
  expect([current.valid_until, more]).toEqual([null, []]);
  const left = Date.parse(before.valid_until) - Date.now();
  expect(left > 23.9 * HOUR_MS && left <= 24 * HOUR_MS).toBe(true);
  // The same secret again only says when those before it end.
  const until = isoIn(HOUR_MS);
  const sooner = await set('acme', { webhook_secret: second, previous_valid_until: until });
  expect(sooner.body.secrets.map((one: Json) => one.valid_until)).toEqual([null, until]);
  const ended = await set('acme', { webhook_secret: second, previous_valid_until: isoIn(-1) });
  expect(ended.body.secrets).toEqual([current]);
  const later = isoIn(100 * HOUR_MS);
  const replaced = await set('acme', { webhook_secret: first, previous_valid_until: later });
  expect(replaced.body.secrets.map((one: Json) => one.valid_until)).toEqual([null, later]);
});

test('docs/providers.md leads through a command that succeeds', async () => {
  const own = await api.merchant();
  const document = readFileSync(new URL('../docs/providers.md', import.meta.url), 'utf8');
  const variables = { URL: api.url, KEY: own.apiKey.secret };
  const requests = [...commandsOf(sectionOf(document, 'Connect one'), variables, () => undefined)].map(curlRequest);
  const answers = await Promise.all(
    requests.map(({ method, url, headers, body = '' }) =>
      api.client().request(method, url.slice(api.url.length), { headers, raw: body }),
    ),
  );
  expect(answers.map(({ status, body }) => [status, body.webhook_path])).toEqual([
    [200, `/v1/providers/acme/merchants/${own.id}/webhook`],
  ]);
});

test('one that ends is given no longer life by a later change', async () => {
  const own = await api.merchant();
  const change = async (more: object): Promise<Json[]> =>
    (await set('acme', { webhook_secret: secret(), ...more }, own)).body.secrets;
  await change({});
  const soon = isoIn(HOUR_MS);
  await change({ previous_valid_until: soon });
  const later = isoIn(2 * HOUR_MS);
  const secrets = await change({ previous_valid_until: later });
  expect(secrets.map(({ valid_until }) => valid_until)).toEqual([null, later, soon]);
});

test('what changes nothing is no event', async () => {
  const own = await api.merchant();
  const webhook_secret = secret();
  const answers = [await set('acme', { webhook_secret }, own), await set('acme', { webhook_secret }, own)];
  expect(answers[1]?.body).toEqual(answers[0]?.body);
  expect(await eventsOf(own)).toHaveLength(1);
});

test('sixty-four at once leave one current secret, and no more valid ones than five', async () => {
  const own = await api.merchant();
  const answers = await Promise.all(Array.from({ length: 64 }, () => set('acme', { webhook_secret: secret() }, own)));
  const taken = answers.filter(({ status }) => status === 200);
  expect(taken).toHaveLength(5);
  const refused = answers.filter(({ status }) => status !== 200).map(({ body }) => body.code);
  expect(new Set(refused)).toEqual(new Set(['invalid_transition']));
  const { secrets } = (await own.client.get(`${PATH}/acme`)).body;
  expect(secrets.map((one: Json) => one.valid_until === null)).toEqual([true, false, false, false, false]);
  expect(await eventsOf(own)).toHaveLength(5);
});

test.each([
  ['stripe', 'sk_live_0123456789abcdef', /Stripe’s dashboard/],
  ['stripe', '', /Stripe’s dashboard/],
  ['adyen', secretOf(Buffer.alloc(32)), /64 hexadecimal digits/],
  ['acme', 'F'.repeat(64), /Standard Webhooks/],
])('a secret of another form is refused, and not repeated: %s %j', async (provider, webhook_secret, why) => {
  const { status, body, text } = await set(provider, { webhook_secret });
  expect([status, body.code, body.errors[0].path]).toEqual([422, 'validation_failed', 'webhook_secret']);
  expect(body.detail).toMatch(why);
  if (webhook_secret) expect(text).not.toContain(webhook_secret);
});

test('names that no provider has are not there', async () => {
  for (const name of ['payment', 'Stripe', '-a', 'a'.repeat(65)]) {
    expect((await set(name, { webhook_secret: secret() })).status).toBe(404);
    expect((await shop.client.get(`${PATH}/${name}`)).status).toBe(404);
  }
});

test('a merchant has as many providers as PROVIDERS_PER_MERCHANT, page by page, and none of another’s', async () => {
  const own = await api.merchant();
  for (const name of ['a', 'b', 'c', 'd'])
    expect((await set(name, { webhook_secret: secret() }, own)).status).toBe(200);
  expect((await set('e', { webhook_secret: secret() }, own)).body.detail).toMatch(/at most 4 providers/);
  expect((await set('d', { webhook_secret: secret() }, own)).status).toBe(200);
  const first = (await own.client.get(`${PATH}?limit=3`)).body;
  const second = (await own.client.get(`${PATH}?limit=3&cursor=${first.next_cursor}`)).body;
  expect([...first.data, ...second.data].map((one: Json) => one.provider)).toEqual(['d', 'c', 'b', 'a']);
  expect([first.has_more, second.has_more]).toEqual([true, false]);
  expect((await shop.client.get(`${PATH}/b`)).status).toBe(404);
});

test('a webhook is answered as its route is documented', async () => {
  await set('acme', { webhook_secret: ACME_SECRET });
  const path = `${PATH}/acme/merchants/${shop.id}/webhook`;
  const asks = [acmeSigned({ events: [7] }), acmeSigned('no JSON'), { raw: '{}', headers: {} }];
  const answers = await Promise.all(asks.map((ask) => api.client().post(path, ask)));
  expect(answers.map(({ status }) => status)).toEqual([200, 400, 401]);
});

test('a provider that is deleted is forgotten', async () => {
  const own = await api.merchant();
  for (const name of ['acme', 'other']) await set(name, { webhook_secret: secret() }, own);
  const remove = () => own.client.request('DELETE', `${PATH}/acme`);
  expect([(await remove()).status, (await remove()).status]).toEqual([204, 404]);
  expect((await own.client.get(PATH)).body.data.map((one: Json) => one.provider)).toEqual(['other']);
  expect((await eventsOf(own)).map(({ data }) => data.change)).toEqual(['set', 'set', 'deleted']);
});

test('every route of providers has been answered with success above', () => {
  const routes = contract.routes.filter((route) => route.includes('/providers'));
  expect(routes).toHaveLength(5);
  const unanswered = routes.filter((route) => ![...(contract.seen.get(route) ?? [])].some((code) => code < 300));
  expect(unanswered).toEqual([]);
});
