import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PROBLEMS, type ProblemCode } from '#kernel/problem.js';
import { generateApiKey } from '#tenancy/api-key.js';
import {
  type Answer,
  type Json,
  type Locker,
  type Merchant,
  TestApi,
  transfer,
  until,
  whileLocked,
} from './support/api.js';
import { Contract } from './support/contract.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until as eventually } from './support/until.js';

const MIB = 1_048_576;
/** Codes that promise `Retry-After`, and the status that each must have. */
const RETRY_AFTER: readonly string[] = ['rate_limited', 'overloaded', 'database_unavailable', 'deadline_exceeded'];

/** Codes that nothing of this routes answers. */
const UNREACHED: Partial<Record<ProblemCode, string>> = {
  internal: 'never for anything that a client sends: only a bug of ours could reach it',
};

let api: TestApi;
let shop: Merchant;
/** Another process, whose way to the database can be cut. */
let cut: TestApi;
let proxy: TcpProxy;
/** Another one, which bears one forged key and no more. */
let strict: TestApi;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  shop = await api.merchant('EUR', 'USD');
  await shop.open('floor', { min_available: '0' });
  await shop.open('closed');
  await shop.client.post(`/v1/accounts/${shop.accounts.closed}/close`);
  proxy = await TcpProxy.open(api.on.runtimeUrl);
  const DATABASE_RUNTIME_URL = proxy.url;
  cut = await TestApi.start({ on: api.on, environment: { DATABASE_RUNTIME_URL, WRITER_ATTEMPTS: '2' } });
  await shop.via(cut).posted(GOOD);
  strict = await TestApi.start({ on: api.on, config: { authFailuresBurst: 1, authFailuresPerSecond: 0.001 } });
  expect(await strict.withKey(generateApiKey(BigInt(shop.id))).get('/v1/accounts')).toMatchObject({ status: 401 });
});
afterAll(async () => {
  await strict.stop();
  await cut.stop();
  await proxy.close();
  await api.stop();
});

const GOOD = transfer('cash:EUR', 'suspense:EUR', '5');

async function hold(): Promise<string> {
  return (await shop.posted({ ...GOOD, status: 'pending' })).id;
}

function raw(text: string, path = '/v1/transactions', headers: Record<string, string> = {}): Promise<Answer> {
  return shop.client.post(path, { raw: text, key: randomUUID(), headers });
}

/** A body of that many bytes, were it read to its end. */
const bodyOf = (bytes: number): string => `{"type":"${'x'.repeat(bytes - 11)}"}`;

/** Eight MiB are most of a burst, part of which other processes may hold: who is told to wait does. */
function large(ask: () => Promise<Answer>): Promise<Answer> {
  return eventually('the budget is enough', async () => {
    const answer = await ask();
    return answer.status !== 429 && answer;
  });
}

/** How each code is reached over HTTP. Every one of PROBLEMS must be here or in UNREACHED. */
const REACHED: Partial<Record<ProblemCode, Record<string, () => Promise<Answer>>>> = {
  rate_limited: {
    'a forged key too many': () => strict.withKey(generateApiKey(BigInt(shop.id))).get('/v1/accounts'),
  },
  malformed_json: {
    'half a body': () => raw('{"type":'),
    'invalid UTF-8': () => shop.client.post('/v1/transactions', { raw: new Uint8Array([0x22, 0xff, 0x22]), key: 'k' }),
    'a byte order mark': () => raw(`\ufeff${JSON.stringify(GOOD)}`),
    'two values': () => raw('{} {}'),
    NaN: () => raw('{"type":NaN}'),
  },
  unsupported_media_type: {
    'a form': () => raw('a=b', '/v1/accounts', { 'content-type': 'application/x-www-form-urlencoded' }),
    XML: () => raw('<a/>', '/v1/transactions', { 'content-type': 'text/xml' }),
    multipart: () => raw('--x--', '/v1/transactions', { 'content-type': 'multipart/form-data; boundary=x' }),
    'a type that begins like JSON': () => raw('{}', '/v1/transactions', { 'content-type': 'application/jsonx' }),
    'a type that is none': () => raw('{}', '/v1/transactions', { 'content-type': 'json' }),
  },
  payload_too_large: {
    'a byte more than a MiB': () => raw(bodyOf(MIB + 1)),
    'a byte more than 8 MiB for a batch': () => large(() => raw(bodyOf(8 * MIB + 1), '/v1/transactions/batch')),
    'for an account': () => raw(bodyOf(MIB + 1), '/v1/accounts'),
  },
  validation_failed: {
    'an unknown field': () => shop.post({ ...GOOD, nonsense: 1 }),
    'a body that is none': () => shop.client.post('/v1/transactions', { key: 'k' }),
    'a string for a body': () => raw('"text"'),
    'exactly a MiB is read': () => raw(bodyOf(MIB)),
    'exactly 8 MiB are read of a batch': () => large(() => raw(bodyOf(8 * MIB), '/v1/transactions/batch')),
    'an operator that acts for nobody': () => api.operator.get('/v1/accounts'),
    'an amount for a hold of several amounts': async () => {
      const entries = [...GOOD.entries, ...transfer('cash:EUR', 'suspense:EUR', '7').entries];
      const { id } = await shop.posted({ type: 'x', entries, status: 'pending' });
      return shop.move(id, 'post', { amount: '5' });
    },
  },
  unauthorized: {
    'no key': () => api.client().get('/v1/accounts'),
    'a key that never was': () => api.withKey(`cfm_${'0'.repeat(60)}`).get('/v1/accounts'),
    'an operator key that never was': () => api.withKey(`cfo_${'1'.repeat(40)}`).get('/v1/merchants'),
    'another scheme': () => api.client({ authorization: `Basic ${shop.apiKey.secret}` }).get('/v1/accounts'),
    'a key with one letter changed': () =>
      api.withKey(shop.apiKey.secret.replace(/.$/, (end) => (end === 'a' ? 'b' : 'a'))).get('/v1/accounts'),
  },
  forbidden: {
    "an operator's route": () => shop.client.get('/v1/merchants'),
    'opening a merchant': () => shop.client.post('/v1/merchants', { body: {} }),
    'its own keys': () => shop.client.get(`/v1/merchants/${shop.id}/api_keys`),
  },
  not_found: {
    'an unknown id': () => shop.client.get('/v1/transactions/1'),
    'an unknown account in a posting': () => shop.post(transfer('cash:EUR', 'nobody', '1')),
    'an unknown route': () => shop.client.get('/v1/nothing'),
    'outside of the version': () => api.client().get('/nothing'),
    'an escape that is none': () => shop.client.get('/v1/accounts/%E0%A4%A'),
    'an operator that acts for nobody known': () => api.actingFor('1').get('/v1/accounts'),
  },
  method_not_allowed: {
    'DELETE of an account': () => shop.client.request('DELETE', `/v1/accounts/${shop.accounts.floor}`),
    'PUT of transactions': () => shop.client.request('PUT', '/v1/transactions', { body: GOOD }),
    'GET of a move': () => shop.client.get('/v1/transactions/1/void'),
    'POST of health': () => api.client().post('/healthz'),
  },
  idempotency_key_required: {
    'a posting': () => shop.client.post('/v1/transactions', { body: GOOD }),
    'an empty key': () => shop.client.post('/v1/transactions', { body: GOOD, key: '' }),
    'a batch': () => shop.client.post('/v1/transactions/batch', { body: { mode: 'atomic', transactions: [GOOD] } }),
    'a void': async () => shop.client.post(`/v1/transactions/${await hold()}/void`),
    'a post': async () => shop.client.post(`/v1/transactions/${await hold()}/post`),
    'a reverse': async () => shop.client.post(`/v1/transactions/${await hold()}/reverse`),
  },
  idempotency_key_invalid: {
    '256 characters': () => shop.post(GOOD, 'k'.repeat(256)),
    'a space': () => shop.post(GOOD, 'a b'),
    'beyond ASCII': () => shop.post(GOOD, 'é'),
    'a tab': () => shop.post(GOOD, 'a\tb'),
    'an empty one where none is required': () =>
      shop.client.post(`/v1/accounts/${shop.accounts.floor}/reopen`, { key: '' }),
  },
  idempotency_key_reused: {
    'another body': async () => {
      await shop.post(GOOD, 'reused');
      return shop.post({ ...GOOD, type: 'other' }, 'reused');
    },
  },
  idempotency_in_flight: {
    'the first one waits for a lock': () =>
      impatient({ IDEMPOTENCY_WAIT_MS: '50' }, async (one, locker) => {
        const first = one.post(GOOD, 'in-flight');
        await locker.waiters(1);
        const second = await one.post(GOOD, 'in-flight');
        await locker.release();
        expect((await first).status).toBe(201);
        return second;
      }),
  },
  unbalanced_entries: {
    'a cent too much': () => shop.post({ ...GOOD, entries: [GOOD.entries[0], { ...GOOD.entries[1], amount: '6' }] }),
    'in a batch': () =>
      shop.client.post('/v1/transactions/batch', {
        key: randomUUID(),
        body: { mode: 'atomic', transactions: [GOOD, { ...GOOD, entries: [GOOD.entries[0], GOOD.entries[0]] }] },
      }),
  },
  currency_mismatch: {
    'dollars on an account in euros': () => shop.post(transfer('cash:EUR', 'suspense:EUR', '5', { currency: 'USD' })),
  },
  account_closed: {
    'a posting on it': () => shop.post(transfer('cash:EUR', 'closed', '5')),
    'a dry run': () =>
      shop.client.post('/v1/transactions', { body: transfer('cash:EUR', 'closed', '5', { dry_run: true }) }),
  },
  insufficient_funds: {
    'below the floor': () => shop.post(transfer('floor', 'cash:EUR', '5')),
    'a hold': () => shop.post(transfer('floor', 'cash:EUR', '5', { status: 'pending' })),
    'a dry run': () =>
      shop.client.post('/v1/transactions', { body: transfer('floor', 'cash:EUR', '5', { dry_run: true }) }),
  },
  amount_out_of_range: { 'beyond 2^53-1': () => shop.post(transfer('cash:EUR', 'suspense:EUR', '9007199254740992')) },
  amount_exceeds_remaining: {
    'a capture': async () => shop.move(await hold(), 'post', { amount: '6' }),
    'a reversal': async () => shop.move((await shop.posted(GOOD)).id, 'reverse', { amount: '6' }),
  },
  condition_failed: {
    'a version': () =>
      shop.post({ ...GOOD, entries: [{ ...GOOD.entries[0], conditions: { version: '999' } }, GOOD.entries[1]] }),
  },
  not_pending: {
    'a void of a posting': async () => shop.move((await shop.posted(GOOD)).id, 'void'),
    'a post of a posting': async () => shop.move((await shop.posted(GOOD)).id, 'post'),
  },
  already_reversed: {
    'a second reversal': async () => {
      const { id } = await shop.posted(GOOD);
      await shop.move(id, 'reverse');
      return shop.move(id, 'reverse');
    },
  },
  invalid_transition: {
    'a reversal of a hold': async () => shop.move(await hold(), 'reverse'),
    'closing an account that is not empty': () => shop.client.post(`/v1/accounts/${shop.accounts['cash:EUR']}/close`),
    'closing twice': () => shop.client.post(`/v1/accounts/${shop.accounts.closed}/close`),
  },
  overloaded: {
    'a full lane': () =>
      impatient({ WRITER_LANES: '1', WRITER_LANE_CAPACITY: '1' }, async (one, locker) => {
        const running = one.post(GOOD);
        await locker.waiters(1);
        // One of these waits in the lane; the other finds it full.
        const [first, second] = [one.post(GOOD), one.post(GOOD)];
        const refused = await Promise.race([first, second]);
        await locker.release();
        expect((await Promise.all([running, first, second])).map((answer) => answer.status).sort()).toEqual([
          201, 201, 503,
        ]);
        return refused;
      }),
  },
  database_unavailable: {
    'a posting': () => withoutDatabase((one) => one.post(GOOD)),
    'a balance': () =>
      withoutDatabase((one) => one.client.get(`/v1/accounts/${one.accounts['cash:EUR']}/balance?consistency=strong`)),
    'an account': () =>
      withoutDatabase((one) =>
        one.client.post('/v1/accounts', { body: { code: 'y', name: 'y', currency: 'EUR', normal_side: 'debit' } }),
      ),
    'a merchant': () => withoutDatabase((_one, { operator }) => operator.get('/v1/merchants')),
    'a new key': () => withoutDatabase((one, { operator }) => operator.post(`/v1/merchants/${one.id}/api_keys`)),
    'a key that is not known yet': () =>
      withoutDatabase((_one, cut) => cut.withKey(generateApiKey(1n)).get('/v1/accounts')),
  },
  deadline_exceeded: {
    'a posting behind a lock': () => impatient({ REQUEST_DEADLINE_MS: '500' }, (one) => one.post(GOOD)),
    'a void behind a lock': () =>
      impatient({ REQUEST_DEADLINE_MS: '500' }, (one, _locker, pending) => one.move(pending, 'void')),
  },
};

/** A second process with other settings, on which the merchant's cash account is locked while `work` runs. */
async function impatient(
  environment: Record<string, string>,
  work: (one: Merchant, locker: Locker, pending: string) => Promise<Answer>,
): Promise<Answer> {
  const busy = await TestApi.start({ on: api.on, environment });
  try {
    const one = await api.merchant();
    const { id } = await one.posted({ ...GOOD, status: 'pending' });
    return await whileLocked(api.on, one.accounts['cash:EUR'] as string, (locker) => work(one.via(busy), locker, id));
  } finally {
    await busy.stop();
  }
}

/** Asks while the database is away, of a process that has been at work before, and which goes on once it is back. */
async function withoutDatabase(work: (one: Merchant, cut: TestApi) => Promise<Answer>): Promise<Answer> {
  proxy.refuse();
  try {
    const answer = await work(shop.via(cut), cut);
    expect((await cut.client().get('/healthz')).status).toBe(200);
    await until(async () => (await cut.client().get('/readyz')).status === 503);
    return answer;
  } finally {
    proxy.accept();
    await until(async () => (await cut.client().get('/readyz')).status === 200);
    expect((await shop.via(cut).post(GOOD)).status).toBe(201);
  }
}

const rows = Object.entries(REACHED).flatMap(([code, ways]) =>
  Object.entries(ways).map(([way, ask]) => ({ code: code as ProblemCode, way, ask })),
);

describe('every problem is reached over HTTP', () => {
  test.each(rows)('$code: $way', async ({ code, ask }) => {
    expectProblem(await ask(), code);
  });

  test('no code is left out', () => {
    const accounted = [...Object.keys(REACHED), ...Object.keys(UNREACHED)];
    expect(accounted.sort()).toEqual(Object.keys(PROBLEMS).sort());
  });
});

function expectProblem(answer: Answer, code: ProblemCode): void {
  const { status, title } = PROBLEMS[code];
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json(;|$)/);
  expect([answer.status, answer.body.code, answer.body.status, answer.body.title]).toEqual([
    status,
    code,
    status,
    title,
  ]);
  expect(answer.body.type).toBe(`https://counterfoil.dev/problems/${code}`);
  expect(answer.body.trace_id).toMatch(/^[0-9a-f]{32}$/);
  expect(answer.body.detail.length).toBeGreaterThan(10);
  expect(answer.text).not.toMatch(/node_modules|\.ts:|\.js:|at \w+ \(|postgres|SELECT|stack/i);
  if (RETRY_AFTER.includes(code)) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  if (code === 'validation_failed') expectFieldErrors(answer.body);
  if (code === 'method_not_allowed') expect(answer.headers.get('allow')).toMatch(/^(GET|POST)/);
  if (code === 'unauthorized') expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
}

function expectFieldErrors({ errors, detail }: Json): void {
  expect(errors.length).toBeGreaterThan(0);
  for (const error of errors) expect(error).toEqual({ path: expect.any(String), message: expect.any(String) });
  expect(detail).toContain(errors[0].message);
}

test('a refused request writes nothing but a key for what the ledger refused', async () => {
  const before = await api.countRows();
  await shop.post(transfer('floor', 'cash:EUR', '5'), 'kept');
  const { idempotency_keys: keys = 0, write_fences: fences = 0 } = before;
  expect(await api.countRows()).toEqual({ ...before, idempotency_keys: keys + 1, write_fences: fences + 1 });
});

test('what a deadline cut off is told by the key: here nothing was written, and the retry posts it', async () => {
  const one = await api.merchant();
  const postings = async () => (await api.countRows()).transactions;
  const before = (await postings()) ?? 0;
  const slow = await TestApi.start({ on: api.on, environment: { REQUEST_DEADLINE_MS: '500' } });
  try {
    const late = await whileLocked(api.on, one.accounts['cash:EUR'] as string, () => one.via(slow).post(GOOD, 'again'));
    expect(late.body.code).toBe('deadline_exceeded');
  } finally {
    await slow.stop();
  }
  expect((await one.post(GOOD, 'again')).status).toBe(201);
  expect(await postings()).toBe(before + 1);
});

test('no bug of ours was logged on the way', () => {
  expect(api.errors).toEqual([]);
});
