import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';

let api: TestApi;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  shop = await api.merchant();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

const GOOD = transfer('cash:EUR', 'suspense:EUR', '5');

/** Text that is legal, and that a careless layer would change. */
const TEXTS = [
  '🏳️‍🌈 👩🏽‍🚀 𝒳',
  'שלום עולם – مرحبا بالعالم',
  '\u202eright to left\u202c',
  'é and e\u0301 stay what they are',
  'İıſß ﬃ',
  ' spaces \t stay ',
  'line\nbreak\r\nand \u2028 too',
  '\u0001\u001f\u007f\ufeff\ufffd\uffff',
  `quotes " ' \\ \\" and {braces} NULL, $1 %s {"a"}`,
  "'; DROP TABLE entries; --",
  '<script>alert(1)</script>&amp;',
  '__proto__',
  '0x10',
  '1e3',
  'null',
];

describe('what is legal is taken as it is', () => {
  test.each(TEXTS)('the text %j comes back as it was sent, at once, later and in a replay', async (text) => {
    const metadata = { text, [text.trim().replaceAll('__proto__', 'proto').slice(0, 64)]: 'as a name' };
    const body = { ...GOOD, description: text, external_ref: text, metadata };
    const key = randomUUID();
    const posted = await shop.post(body, key);
    expect(posted.body).toMatchObject({ description: text, external_ref: text, metadata });
    expect((await shop.client.get(`/v1/transactions/${posted.body.id}`)).body.metadata).toEqual(metadata);
    expect((await shop.post(body, key)).text).toBe(posted.text);
    const found = await shop.client.get(`/v1/transactions?external_ref=${encodeURIComponent(text)}`);
    expect(found.body.data.map((one: Json) => [one.id, one.external_ref])).toEqual([[posted.body.id, text]]);
  });

  test('names of prototypes are names like others in metadata', async () => {
    const metadata = { constructor: 'a', toString: 'b', hasOwnProperty: 'c', valueOf: 1, prototype: true, length: 2 };
    const { id } = await shop.posted({ ...GOOD, metadata });
    expect((await shop.client.get(`/v1/transactions/${id}`)).body.metadata).toEqual(metadata);
  });

  test('metadata keeps its order, its integers and its limits of 50 names of 64 and 500 characters', async () => {
    const most = Object.fromEntries(Array.from({ length: 49 }, (_, i) => [`${i}-`.padEnd(64, 'k'), 'v'.repeat(500)]));
    const metadata = { z: Number.MAX_SAFE_INTEGER, ...most };
    const posted = await shop.post({ ...GOOD, metadata });
    expect(JSON.stringify(posted.body.metadata)).toBe(JSON.stringify(metadata));
  });

  test.each(['k', '~'.repeat(255), '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~', 'null', '0', '__proto__'])(
    '%s is a good key',
    async (key) => {
      const first = await shop.post(GOOD, key);
      expect(first.status).toBe(201);
      expect((await shop.post(GOOD, key)).headers.get('idempotent-replayed')).toBe('true');
    },
  );

  test.each([
    ['2026-11-21T17:09:00Z', '2026-11-21T17:09:00.000Z'],
    ['2026-11-21t17:09:00.5z', '2026-11-21T17:09:00.500Z'],
    ['2026-03-01T00:30:00+05:45', '2026-02-28T18:45:00.000Z'],
    ['2024-02-29T23:59:59.999999999-00:00', '2024-02-29T23:59:59.999Z'],
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.000Z'],
  ])('%s is the time %s', async (given, told) => {
    const { id, effective_at } = await shop.posted({ ...GOOD, effective_at: given });
    expect(effective_at).toBe(told);
    expect((await shop.client.get(`/v1/transactions/${id}`)).body.effective_at).toBe(told);
  });

  test('100 entries and 1,000 transactions are taken', async () => {
    const entries = Array.from({ length: 50 }, () => GOOD.entries).flat();
    expect((await shop.posted({ type: 'wide', entries })).entries).toHaveLength(100);
    const transactions = Array.from({ length: 1_000 }, () => GOOD);
    const body = { mode: 'independent', transactions };
    const { results } = (await shop.client.post('/v1/transactions/batch', { body, key: 'most' })).body;
    expect(new Set(results.map((result: Json) => result.status))).toEqual(new Set([201]));
    expect(new Set(results.map((result: Json) => result.transaction.id)).size).toBe(1_000);
  });

  test('of several that open an account with one code at once, one does', async () => {
    const body = { code: 'race', name: 'Race', currency: 'EUR', normal_side: 'debit' };
    const answers = await Promise.all(Array.from({ length: 6 }, () => shop.client.post('/v1/accounts', { body })));
    expect(answers.map((answer) => answer.status).sort()).toEqual([201, 422, 422, 422, 422, 422]);
  });
});

describe('routes without fields', () => {
  test.each<[string, string | undefined]>([
    ['no body', undefined],
    ['an empty body', ''],
    ['an empty object', '{}'],
  ])('take %s', async (_name, raw) => {
    const send = (path: string, key?: string) =>
      shop.client.post(path, { ...(raw !== undefined && { raw }), ...(key !== undefined && { key }) });
    const hold = await shop.posted({ ...GOOD, status: 'pending' });
    expect((await send(`/v1/transactions/${hold.id}/post`, randomUUID())).status).toBe(201);
    const other = await shop.posted({ ...GOOD, status: 'pending' });
    expect((await send(`/v1/transactions/${other.id}/void`, randomUUID())).status).toBe(201);
    const posted = await shop.posted(GOOD);
    expect((await send(`/v1/transactions/${posted.id}/reverse`, randomUUID())).status).toBe(201);
    const account = await shop.open(`empty:${randomUUID()}`);
    expect((await send(`/v1/accounts/${account}/close`)).status).toBe(200);
    const asked = raw === undefined ? {} : { raw };
    expect((await api.operator.post(`/v1/merchants/${shop.id}/api_keys`, asked)).status).toBe(201);
  });

  test.each(['{"nonsense":1}', '[]', '"x"', '0'])('refuse %s and do nothing', async (raw) => {
    const account = await shop.open(`stays:${randomUUID()}`);
    const before = await api.countRows();
    for (const path of [`/v1/accounts/${account}/close`, `/v1/merchants/${shop.id}/api_keys`]) {
      const client = path.includes('merchants') ? api.operator : shop.client;
      const { status, body } = await client.post(path, { raw });
      expect([path, status, body.code]).toEqual([path, 422, 'validation_failed']);
    }
    expect(await api.countRows()).toEqual(before);
  });
});
