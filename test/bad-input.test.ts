import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';

let api: TestApi;
let shop: Merchant;
let before: Record<string, number>;
/** Rows that a test means to write. */
let written: Record<string, number>;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  shop = await api.merchant('EUR', 'JPY', 'KWD');
  await shop.posted(GOOD);
});
beforeEach(async () => {
  written = {};
  before = await api.countRows();
});
afterEach(async () => {
  for (const [table, rows] of Object.entries(written)) before[table] = (before[table] ?? 0) + rows;
  expect(await api.countRows()).toEqual(before);
  expect(api.errors).toEqual([]);
});
afterAll(() => api.stop());

const GOOD = transfer('cash:EUR', 'suspense:EUR', '5');
const GOOD_ACCOUNT = { code: 'fine', name: 'Fine', currency: 'EUR', normal_side: 'debit' };
const GOOD_MERCHANT = { name: 'Fine', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
/** What the ledger refuses is kept with its key. */
const KEPT = { idempotency_keys: 1, write_fences: 1 };

function send(raw: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Answer> {
  return shop.client.post('/v1/transactions', { raw, key: randomUUID(), headers });
}

/** The good posting with `replacement` (JSON text) in place of one value; `__at__` marks the place. */
function withValue(place: (body: Json) => void, replacement: string): string {
  const body = structuredClone(GOOD);
  place(body);
  return JSON.stringify(body).replace('"__at__"', () => replacement);
}

const inAmount = (value: string) => withValue((body) => (body.entries[0].amount = '__at__'), value);

/** Titles stay short where values are long. */
const named = <Row extends string | readonly string[]>(rows: readonly Row[]): string[][] =>
  rows.map((row) => {
    const parts = [row].flat() as string[];
    return [
      parts.map((part) => (part.length > 60 ? `${part.slice(0, 40)}… (${part.length})` : part)).join(' '),
      ...parts,
    ];
  });

function expectFault(answer: Answer, path: string): void {
  expect([answer.status, answer.body?.code]).toEqual([422, 'validation_failed']);
  expect(answer.body.errors.map((error: Json) => error.path)).toContain(path);
}

describe('amounts', () => {
  test.each(
    named([
      '0',
      '"0"',
      '-0',
      '-1',
      '"-1"',
      '1.5',
      '"1.5"',
      '1.0',
      '"1.0"',
      '1e3',
      '1E3',
      '1e-2',
      '10e+1',
      '"1e3"',
      '"+5"',
      '" 5"',
      '"5 "',
      '"5\\n"',
      '"0x10"',
      '"1_000"',
      '"1,000"',
      '"٣"',
      '"５"',
      '""',
      '"five"',
      'true',
      'false',
      'null',
      '[]',
      '[5]',
      '{}',
      '{"amount":5}',
      '9007199254740992',
      '9007199254740993',
      '1'.repeat(40),
      `"${'1'.repeat(41)}"`,
      `"${'9'.repeat(100_000)}"`,
      '1e400',
    ]),
  )('%s is refused at its path', async (_title, value = '') => {
    expectFault(await send(inAmount(value)), 'entries.0.amount');
  });

  test.each(['"9007199254740992"', '"9007199254740993"', `"${'9'.repeat(40)}"`])(
    '%s is out of range',
    async (value) => {
      const amounts = inAmount(value).replace('"amount":"5"', () => `"amount":${value}`);
      const answer = await send(amounts);
      expect([answer.status, answer.body.code]).toEqual([422, 'amount_out_of_range']);
      written = KEPT;
    },
  );

  test.each(['9007199254740991', '"9007199254740991"', '"0009007199254740991"'])('%s is exact', async (value) => {
    const raw = inAmount(value)
      .replace('"amount":"5"', () => `"amount":${value}`)
      .replace('{', '{"dry_run":true,');
    const answer = await send(raw);
    expect([answer.status, answer.body.entries[1].amount]).toEqual([200, '9007199254740991']);
  });

  test('the sum of an account is bounded as well', async () => {
    const most = '9007199254740991';
    const pair = transfer('cash:KWD', 'suspense:KWD', most, { currency: 'KWD' }).entries;
    const body = { type: 'huge', entries: Array.from({ length: 50 }, () => pair).flat() };
    const transactions = Array.from({ length: 20 }, () => body);
    const answer = await shop.client.post('/v1/transactions/batch', {
      body: { mode: 'atomic', transactions },
      key: 'sum',
    });
    expect([answer.status, answer.body.code]).toEqual([422, 'amount_out_of_range']);
    written = KEPT;
  });

  test.each([
    ['JPY', '1.5'],
    ['KWD', '"1.234"'],
  ])('%s takes no fraction %s', async (currency, value) => {
    const body = JSON.stringify(transfer(`cash:${currency}`, `suspense:${currency}`, '__at__', { currency }));
    expectFault(await send(body.replace('"__at__"', value)), 'entries.0.amount');
  });
});

describe('fields of a posting', () => {
  test.each(
    named([
      ['currency', '"eur"'],
      ['currency', '"EURO"'],
      ['currency', '"ZZZ"'],
      ['currency', '"€"'],
      ['currency', '""'],
      ['currency', '978'],
      ['currency', 'null'],
      ['currency', '"__proto__"'],
      ['direction', '"DEBIT"'],
      ['direction', '"both"'],
      ['direction', '1'],
      ['account_code', '"Cash:EUR"'],
      ['account_code', '"cash:EUR "'],
      ['account_code', `"${'a'.repeat(200)}"`],
      ['account_code', '"cash\\u0000"'],
      ['account_code', '["cash:EUR"]'],
      ['conditions', '{"versions":1}'],
      ['conditions', '[]'],
      ['conditions', '{"__proto__":{"version":1}}'],
      ['nonsense', '1'],
      ['constructor', '1'],
      ['account_id', '"1"'],
    ]),
  )('an entry with %s is refused', async (_title, field = '', value = '') => {
    const answer = await send(withValue((body) => (body.entries[0][field] = '__at__'), value));
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(answer.body.errors[0].path).toMatch(new RegExp(`^entries\\.0\\.${field}`));
  });

  test.each([
    ['account_id', '"abc"'],
    ['account_id', '5'],
    ['account_id', '"0"'],
    ['account_id', '"-1"'],
    ['account_id', '"99999999999999999999"'],
    ['account_id', '"9223372036854775808"'],
    ['account_id', '"1 OR 1=1"'],
  ])('an entry with the id %s %s is refused', async (field, value) => {
    const place = (body: Json) => {
      delete body.entries[0].account_code;
      body.entries[0][field] = '__at__';
    };
    expectFault(await send(withValue(place, value)), 'entries.0.account_id');
  });

  test.each(
    named([
      ['type', '""'],
      ['type', '"a b"'],
      ['type', '5'],
      ['type', `"${'a'.repeat(65)}"`],
      ['description', '""'],
      ['description', `"${'a'.repeat(1_001)}"`],
      ['description', '"\\u0000"'],
      ['description', '"\\ud800"'],
      ['description', '"\\udc00\\ud800"'],
      ['external_ref', '"a\\u0000b"'],
      ['external_ref', `"${'é'.repeat(256)}"`],
      ['status', '"voided"'],
      ['status', 'null'],
      ['entries', '[]'],
      ['entries', '{}'],
      ['entries', '"x"'],
      ['entries', 'null'],
      ['entries', '[null,null]'],
      ['dry_run', '"true"'],
      ['dry_run', '1'],
      ['nonsense', '1'],
      ['id', '"1"'],
      ['merchant_id', '"1"'],
      ['created_at', '"2026-01-01T00:00:00Z"'],
      ['constructor', '{}'],
      ['metadata', '[]'],
      ['metadata', '"x"'],
      ['metadata', '{"a":null}'],
      ['metadata', '{"a":{}}'],
      ['metadata', '{"a":[1]}'],
      ['metadata', '{"a":1.5}'],
      ['metadata', '{"a":1e3}'],
      ['metadata', '{"a":9007199254740993}'],
      ['metadata', '{"":1}'],
      ['metadata', `{"${'k'.repeat(65)}":1}`],
      ['metadata', `{"a":"${'v'.repeat(501)}"}`],
      ['metadata', `{${Array.from({ length: 51 }, (_, i) => `"k${i}":1`)}}`],
      ['metadata', `{${Array.from({ length: 50_000 }, (_, i) => `"k${i}":1`)}}`],
      ['metadata', '{"a\\u0000":1}'],
      ['metadata', '{"a":"\\udfff"}'],
      ['metadata', '{"__proto__":{"admin":true}}'],
      ['metadata', '{"\\u005f_proto__":"x"}'],
    ]),
  )('%s is refused', async (_title, field = '', value = '') => {
    const answer = await send(withValue((body) => (body[field] = '__at__'), value));
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(answer.body.errors[0].path).toMatch(new RegExp(`^${field}`));
  });

  test.each([
    '"2026-02-30T00:00:00Z"',
    '"2025-02-29T00:00:00Z"',
    '"2026-13-01T00:00:00Z"',
    '"10000-01-01T00:00:00Z"',
    '"+010000-01-01T00:00:00Z"',
    '"0000-01-01T00:00:00Z"',
    '"1969-12-31T23:59:59Z"',
    '"2026-01-01T00:00:00"',
    '"2026-01-01"',
    '"2026-01-01 00:00:00Z"',
    '"2026-01-01T24:00:00Z"',
    '"2026-01-01T23:59:60Z"',
    '"2026-01-01T00:00:00+25:00"',
    '"2026-01-01T00:00:00+01:60"',
    '"2026-01-01T00:00:00.1234567890Z"',
    '"2026-01-01T00:00:00Z\\n"',
    '"now"',
    '""',
    '1767225600',
    'null',
    '"2199-01-01T00:00:00Z"',
  ])('%s is no time for effective_at', async (value) => {
    expectFault(await send(withValue((body) => (body.effective_at = '__at__'), value)), 'effective_at');
  });

  test('expires_at is for holds, and lies ahead', async () => {
    expectFault(await shop.post({ ...GOOD, expires_at: '2100-01-01T00:00:00Z' }), 'expires_at');
    expectFault(await shop.post({ ...GOOD, status: 'pending', expires_at: '2026-01-01T00:00:00Z' }), 'expires_at');
  });

  test.each([0, 1, 101, 5_000])('%d entries are refused', async (count) => {
    expectFault(await shop.post({ ...GOOD, entries: Array.from({ length: count }, () => GOOD.entries[0]) }), 'entries');
  });

  test.each([0, 1_001])('a batch of %d is refused', async (count) => {
    const body = { mode: 'atomic', transactions: Array.from({ length: count }, () => GOOD) };
    expectFault(await shop.client.post('/v1/transactions/batch', { body, key: randomUUID() }), 'transactions');
  });

  test('a batch of 1,000 bad items is answered with a bounded list of faults', async () => {
    const unknown = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`bad${index}`, 1]));
    const transactions = Array.from({ length: 1_000 }, () => ({ ...GOOD, ...unknown }));
    const body = { mode: 'atomic', transactions };
    const atomic = await shop.client.post('/v1/transactions/batch', { body, key: randomUUID() });
    expect([atomic.status, atomic.body.errors.length, atomic.body.errors[0].path]).toEqual([422, 6, 'transactions.0']);
  });
});

describe('bodies of the other routes', () => {
  test.each(
    named([
      ['code', '"UPPER"'],
      ['code', '"-x"'],
      ['code', '"ü"'],
      ['code', `"${'x'.repeat(129)}"`],
      ['name', '""'],
      ['name', `"${'n'.repeat(256)}"`],
      ['currency', '"eur"'],
      ['normal_side', '"left"'],
      ['min_available', '"1.5"'],
      ['min_available', '1e2'],
      ['min_available', '"--1"'],
      ['min_available', `"${'9'.repeat(30)}"`],
      ['status', '"closed"'],
      ['merchant_id', '"1"'],
      ['metadata', '{"__proto__":1}'],
    ]),
  )('an account with %s is refused', async (_title, field = '', value = '') => {
    const raw = JSON.stringify({ ...GOOD_ACCOUNT, [field]: '__at__' }).replace('"__at__"', () => value);
    const answer = await shop.client.post('/v1/accounts', { raw });
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(answer.body.errors[0].path).toMatch(new RegExp(`^${field}`));
  });

  test.each<[string, string]>([
    ['name', 'null'],
    ['time_zone', '"Mars/Olympus"'],
    ['time_zone', '"+02:00"'],
    ['time_zone', '"../../etc/passwd"'],
    ['settlement_cutoff', '"24:00"'],
    ['settlement_cutoff', '"9:00"'],
    ['currencies', '[]'],
    ['currencies', '["EUR","EUR"]'],
    ['currencies', '["eur"]'],
    ['currencies', '"EUR"'],
    ['fee_plan_id', '"1"'],
    ['id', '"1"'],
  ])('a merchant with %s %s is refused', async (field, value) => {
    const raw = JSON.stringify({ ...GOOD_MERCHANT, [field]: '__at__' }).replace('"__at__"', () => value);
    const answer = await api.operator.post('/v1/merchants', { raw });
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
    expect(answer.body.errors[0].path).toMatch(new RegExp(`^${field}`));
  });

  test.each(['{"amount":"0"}', '{"amount":1.5}', '{"final":"yes"}', '{"x":1}', '[]', '"x"', 'null', '0'])(
    'a move with the body %s is refused',
    async (raw) => {
      const { id } = (await shop.client.get('/v1/transactions')).body.data[0];
      for (const what of ['post', 'void', 'reverse']) {
        const answer = await shop.client.post(`/v1/transactions/${id}/${what}`, { raw, key: randomUUID() });
        expect([what, answer.status, answer.body.code]).toEqual([what, 422, 'validation_failed']);
      }
    },
  );

  test.each(
    named([
      '%00',
      'x',
      '-1',
      '0',
      '1.0',
      '1e3',
      '99999999999999999999',
      '9'.repeat(300),
      '%F0%9F%92%B8',
      "1'--",
      '..%2f..',
      '__proto__',
    ]),
  )('the id %s is not found', async (_title, id = '') => {
    for (const path of [
      `/v1/accounts/${id}`,
      `/v1/accounts/${id}/balance`,
      `/v1/transactions/${id}`,
      `/v1/accounts/${id}/entries`,
    ]) {
      expect([path, (await shop.client.get(path)).status]).toEqual([path, 404]);
    }
  });

  test.each([
    'external_ref=%00',
    'external_ref=a%00',
    'type=%00',
    'account_id=%00',
    'cursor=%00',
    '%00=1',
    'external_ref=a&external_ref=b',
  ])('the query %s is refused', async (query) => {
    const answer = await shop.client.get(`/v1/transactions?${query}`);
    expect([answer.status, answer.body.code]).toEqual([422, 'validation_failed']);
  });

  test.each(['external_ref=%ED%A0%80', 'external_ref=%FF', 'external_ref=%', 'limit=5&', '&&&', 'external_ref[]=1'])(
    'the query %s is answered, and not with a 500',
    async (query) => {
      expect([200, 422]).toContain((await shop.client.get(`/v1/transactions?${query}`)).status);
    },
  );
});
