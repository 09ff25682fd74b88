import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ProblemError } from '#kernel/problem.js';
import { IdempotentRequests } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import { type Answer, type Client, type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { BreakShop, breakPosts } from './support/breaks.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { plantDeadLetter } from './support/dead-letters.js';
import { within } from './support/settlement.js';
import { BANK_SECRET } from './support/small-bank.js';
import { until } from './support/until.js';
import { TestWebhooks } from './support/webhooks.js';

const WAIT_MS = 400;
const SECRET = /cfm_[0-9A-Za-z]{60}|cfo_[0-9A-Za-z]{49}|whsec_[A-Za-z0-9+/]{20,}/;

let api: TestApi;
let contract: Contract;
let hooks: TestWebhooks;
let shop: Merchant;
let breaks: BreakShop;
let admin: pg.Client;

beforeAll(async () => {
  api = await TestApi.start({
    environment: {
      WEBHOOK_ENDPOINTS_PER_MERCHANT: '100',
      IDEMPOTENCY_WAIT_MS: String(WAIT_MS),
      BANK_URL: 'http://127.0.0.1:9',
      BANK_SECRET,
    },
  });
  contract = await Contract.hold(api);
  hooks = await TestWebhooks.open(api.on);
  shop = await api.merchant();
  admin = new pg.Client({ connectionString: api.on.ownerUrl });
  await admin.connect();
  breaks = await BreakShop.open(api, admin, shop);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await Promise.all([hooks.close(), admin.end()]);
  await api.stop();
});

interface Post {
  path: string;
  body?: object;
  /** Of success. */
  status: number;
  /** Who asks; the merchant unless said otherwise. */
  client?: Client;
  /** Routes that lose members in a replay: where a secret was. */
  secretAt?: string;
  /** Whose keys are the platform's, as there is no merchant, or not yet. */
  ofPlatform?: true;
}

let count = 0;
const fresh = (name: string): string => `${name}-${++count}`;
const account = (): object => ({ code: fresh('wallet'), name: 'W', currency: 'EUR', normal_side: 'credit' });

const MERCHANT = { name: 'Nord', time_zone: 'Europe/Berlin', settlement_cutoff: '23:00', currencies: ['EUR'] };
const FEE_PLAN = {
  name: 'Standard',
  rules: [{ applies_to: 'payment', currency: 'EUR', percent_bps: 140, fixed: '25' }],
};
const DECISION = { by: 'ada', reason: 'cured' };
const pay = (amount: string): object => transfer('cash:EUR', 'suspense:EUR', amount);
const held = async (): Promise<string> => (await shop.posted({ ...pay('9'), status: 'pending' })).id;
const ENDPOINT = { url: 'https://example.com/hooks' };
const PAYMENT = { amount: '900', currency: 'EUR', capture: 'manual' };
/** A payment of which all is held, or captured. */
const paid = async (capture: 'automatic' | 'manual'): Promise<string> => {
  const opened = await shop.client.post('/v1/payments', { key: fresh('paid'), body: { ...PAYMENT, capture } });
  return opened.body.id;
};
const fact = (): object => ({
  provider: 'acme',
  event_id: fresh('event'),
  payment_ref: fresh('ref'),
  type: 'authorised',
  amount: '900',
  currency: 'EUR',
  occurred_at: '2026-11-01T00:00:00.000Z',
});
const endpoint = async (): Promise<string> =>
  (await shop.client.post('/v1/webhook_endpoints', { body: ENDPOINT })).body.id;

async function delivery(): Promise<string> {
  const id = await endpoint();
  await hooks.append(BigInt(shop.id), 1);
  await hooks.fanOut(BigInt(shop.id));
  return String((await hooks.deliveries(BigInt(shop.id), BigInt(id)))[0]?.id);
}

/** Every POST of the contract, as one that can succeed. A new route has to say here how it is asked. */
const POSTS: Record<string, () => Promise<Post>> = {
  'POST /v1/merchants': async () => ({
    path: '/v1/merchants',
    body: MERCHANT,
    status: 201,
    client: api.operator,
    secretAt: 'api_key.secret',
    ofPlatform: true,
  }),
  'POST /v1/merchants/{id}/api_keys': async () => ({
    path: `/v1/merchants/${shop.id}/api_keys`,
    status: 201,
    client: api.operator,
    secretAt: 'secret',
  }),
  'POST /v1/operator_keys': async () => ({
    path: '/v1/operator_keys',
    body: { name: fresh('operator') },
    status: 201,
    client: api.operator,
    secretAt: 'secret',
    ofPlatform: true,
  }),
  ...breakPosts(() => breaks),
  'POST /v1/fee_plans': async () => ({
    path: '/v1/fee_plans',
    body: FEE_PLAN,
    status: 201,
    client: api.operator,
    ofPlatform: true,
  }),
  'POST /v1/fee_plans/{id}/versions': async () => ({
    path: `/v1/fee_plans/${(await api.operator.post('/v1/fee_plans', { body: FEE_PLAN })).body.id}/versions`,
    body: { rules: [] },
    status: 201,
    client: api.operator,
    ofPlatform: true,
  }),
  'POST /v1/settlement_runs': async () => ({
    path: '/v1/settlement_runs',
    body: { business_date: '2026-11-20', merchant_ids: [shop.id] },
    status: 202,
    client: api.operator,
    ofPlatform: true,
  }),
  'POST /v1/accounts': async () => ({ path: '/v1/accounts', body: account(), status: 201 }),
  'POST /v1/accounts/{id}/close': async () => ({
    path: `/v1/accounts/${await shop.open(fresh('closing'))}/close`,
    status: 200,
  }),
  'POST /v1/accounts/{id}/reopen': async () => {
    const id = await shop.open(fresh('reopening'));
    await shop.client.post(`/v1/accounts/${id}/close`);
    return { path: `/v1/accounts/${id}/reopen`, status: 200 };
  },
  'POST /v1/transactions': async () => ({ path: '/v1/transactions', body: pay('5'), status: 201 }),
  'POST /v1/transactions/batch': async () => ({
    path: '/v1/transactions/batch',
    body: { mode: 'atomic', transactions: [pay('5')] },
    status: 200,
  }),
  'POST /v1/transactions/{id}/post': async () => ({ path: `/v1/transactions/${await held()}/post`, status: 201 }),
  'POST /v1/transactions/{id}/void': async () => ({ path: `/v1/transactions/${await held()}/void`, status: 201 }),
  'POST /v1/transactions/{id}/reverse': async () => ({
    path: `/v1/transactions/${(await shop.posted(pay('5'))).id}/reverse`,
    status: 201,
  }),
  'POST /v1/payments': async () => ({ path: '/v1/payments', body: PAYMENT, status: 201 }),
  'POST /v1/payments/{id}/capture': async () => ({
    path: `/v1/payments/${await paid('manual')}/capture`,
    status: 200,
  }),
  'POST /v1/payments/{id}/void': async () => ({ path: `/v1/payments/${await paid('manual')}/void`, status: 200 }),
  'POST /v1/payments/{id}/refund': async () => ({
    path: `/v1/payments/${await paid('automatic')}/refund`,
    status: 200,
  }),
  'POST /v1/payouts': async () => {
    const settled = `INSERT INTO settled_balances (merchant_id, currency, settled) VALUES ($1, 'EUR', 99) ON CONFLICT DO NOTHING`;
    await admin.query(settled, [shop.id]);
    return { path: '/v1/payouts', body: { amount: '5', currency: 'EUR', destination: 'bank_ok' }, status: 202 };
  },
  'POST /v1/provider_events': async () => ({ path: '/v1/provider_events', body: fact(), status: 202 }),
  'POST /v1/provider_events/batch': async () => ({
    path: '/v1/provider_events/batch',
    body: { events: [fact(), fact()] },
    status: 202,
  }),
  'POST /v1/dead_letters/{id}/redrive': async () => ({
    path: `/v1/dead_letters/${await plantDeadLetter(admin, (await shop.posted(pay('1'))).id)}/redrive`,
    body: DECISION,
    status: 202,
    client: api.operator,
  }),
  'POST /v1/dead_letters/{id}/discard': async () => ({
    path: `/v1/dead_letters/${await plantDeadLetter(admin, (await shop.posted(pay('1'))).id)}/discard`,
    body: DECISION,
    status: 202,
    client: api.operator,
  }),
  'POST /v1/webhook_endpoints': async () => ({
    path: '/v1/webhook_endpoints',
    body: ENDPOINT,
    status: 201,
    secretAt: 'secret',
  }),
  'POST /v1/webhook_endpoints/{id}/rotate_secret': async () => ({
    path: `/v1/webhook_endpoints/${await endpoint()}/rotate_secret`,
    status: 200,
    secretAt: 'secret',
  }),
  'POST /v1/webhook_endpoints/{id}/enable': async () => ({
    path: `/v1/webhook_endpoints/${await endpoint()}/enable`,
    status: 200,
  }),
  'POST /v1/webhook_deliveries/{id}/redeliver': async () => ({
    path: `/v1/webhook_deliveries/${await delivery()}/redeliver`,
    status: 202,
  }),
};

function ask({ path, body, client = shop.client }: Post, key: string): Promise<Answer> {
  return client.post(path, { key, ...(body && { body }) });
}

/** The answer with null where `at` says. */
function without(body: Json, at: string | undefined): Json {
  if (at === undefined) return body;
  const [first = '', ...rest] = at.split('.');
  return { ...body, [first]: rest.length === 0 ? null : without(body[first], rest.join('.')) };
}

describe('every POST of the contract', () => {
  test('is told here', () => {
    expect(Object.keys(POSTS).toSorted()).toEqual(
      // A provider's webhook has no key: what it tells has identities of its own (provider-webhooks.test.ts). A bank's callback
      // changes nothing by itself (bank-callbacks.test.ts). Files have no canonical body (report-uploads.test.ts, break-proposals.test.ts).
      contract.routes
        .filter((route) => route.startsWith('POST ') && !/\/(webhook|callbacks|reconciliations|proposals)$/.test(route))
        .toSorted(),
    );
  });

  test.each(Object.entries(POSTS))('%s takes effect once for a key, and shows no secret twice', async (_, prepare) => {
    const post = await prepare();
    const key = fresh('once');
    const first = await ask(post, key);
    expect([first.status, first.headers.get('idempotent-replayed')]).toEqual([post.status, null]);
    if (post.secretAt !== undefined) expect(first.text).toMatch(SECRET);
    const before = await api.countRows();
    const again = await ask(post, key);
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([post.status, 'true']);
    expect(again.body).toEqual(without(first.body, post.secretAt));
    expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
    expect(again.text).not.toMatch(SECRET);
    expect(await api.countRows()).toEqual(before);
    const { rows } = await admin.query(
      `SELECT count(*)::int AS stored FROM idempotency_keys WHERE response::text ~ $1`,
      ['cfm_[0-9A-Za-z]{60}|cfo_[0-9A-Za-z]{49}|whsec_'],
    );
    expect(rows).toEqual([{ stored: 0 }]);
  });

  test.each(Object.entries(POSTS))(
    '%s refuses the key of another request, and burns none that it finds invalid',
    async (_, prepare) => {
      const post = await prepare();
      const key = fresh('reused');
      const malformed = { ...post, body: { ...post.body, no_such_field: 1 } };
      expect((await ask(malformed, key)).body.code).toBe('validation_failed');
      expect((await ask(post, key)).status).toBe(post.status);
      const other: Post = post.ofPlatform
        ? { path: '/v1/merchants', body: { ...MERCHANT, name: 'Sud' }, status: 201, client: api.operator }
        : { path: '/v1/accounts', body: account(), status: 201, client: api.actingFor(shop.id) };
      const before = await api.countRows();
      expect((await ask(other, key)).body.code).toBe('idempotency_key_reused');
      expect((await ask(post, `${key} `.repeat(300))).body.code).toBe('idempotency_key_invalid');
      expect(await api.countRows()).toEqual(before);
    },
  );

  test.each(Object.entries(POSTS))('%s asked six times at once takes effect once', async (_, prepare) => {
    const [post, key] = [await prepare(), fresh('at-once')];
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(post, key)));
    const first = answers.filter(
      ({ status, headers }) => status === post.status && !headers.has('idempotent-replayed'),
    );
    expect(first).toHaveLength(1);
    for (const answer of answers) {
      if (answer.status !== post.status) expect(answer.body.code).toBe('idempotency_in_flight');
    }
    if (post.secretAt !== undefined) expect(answers.filter(({ text }) => SECRET.test(text))).toHaveLength(1);
  });
});

test('without a body is the same request as with an empty one', async () => {
  const id = await endpoint();
  const path = `/v1/webhook_endpoints/${id}/rotate_secret`;
  expect((await shop.client.post(path, { key: 'empty' })).status).toBe(200);
  const again = await shop.client.post(path, { key: 'empty', body: {} });
  expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([200, 'true']);
});

test('keys of merchants and of the platform do not meet', async () => {
  const other = await api.merchant();
  const body = account();
  for (const { client } of [shop, other])
    expect((await client.post('/v1/accounts', { body, key: 'same' })).status).toBe(201);
  expect((await api.operator.post('/v1/merchants', { body: MERCHANT, key: 'same' })).status).toBe(201);
});

test('a refusal by the state of a resource is kept, although the request would now succeed', async () => {
  const id = await delivery();
  const set = (status: string, reason: string | null): Promise<unknown> =>
    admin.query('UPDATE webhook_endpoints SET status = $1, disabled_reason = $2 WHERE status <> $1', [status, reason]);
  await set('disabled', 'gone');
  const redeliver: Post = { path: `/v1/webhook_deliveries/${id}/redeliver`, status: 202 };
  const refused = await ask(redeliver, 'disabled');
  expect([refused.status, refused.body.code]).toEqual([409, 'invalid_transition']);
  await set('enabled', null);
  const again = await ask(redeliver, 'disabled');
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  expect([again.status, again.text, again.headers.get('content-type')]).toEqual([
    refused.status,
    refused.text,
    refused.headers.get('content-type'),
  ]);
  expect((await ask(redeliver, 'enabled')).status).toBe(202);
});

test('a refusal that is kept keeps nothing that was written before it', async () => {
  const database = new Database(api.on.runtimeUrl, { poolSize: 1, connectTimeoutMs: 20_000, applicationName: 'test' });
  const requests = new IdempotentRequests(database, { waitMs: WAIT_MS });
  const merchantId = BigInt(shop.id);
  const bounds = within(20_000);
  const idempotency = { key: fresh('half'), requestSha256: Buffer.alloc(32) };
  const answering = { idempotency, status: 200, bodyOf: () => ({ body: {} }) };
  try {
    const refused = await requests.answer(merchantId, bounds, answering, async (client) => {
      await client.query({ text: `UPDATE merchants SET name = 'Half' WHERE id = $1`, values: [merchantId] });
      throw new ProblemError('invalid_transition', 'Not now.');
    });
    expect(refused).toMatchObject({ status: 409, body: { code: 'invalid_transition' }, replayed: false });
  } finally {
    await database.close();
  }
  const { rows } = await admin.query(
    'SELECT name, (SELECT status FROM idempotency_keys WHERE merchant_id = m.id AND key = $2) FROM merchants m WHERE id = $1',
    [shop.id, idempotency.key],
  );
  expect(rows).toEqual([{ name: 'Test', status: 409 }]);
});

test('what turns out to be invalid only while it is done burns no key', async () => {
  const body = account();
  expect((await shop.client.post('/v1/accounts', { body })).status).toBe(201);
  expect((await shop.client.post('/v1/accounts', { key: 'taken code', body })).body.code).toBe(
    'idempotency_key_invalid',
  );
  expect((await shop.client.post('/v1/accounts', { key: 'taken-code', body })).body.code).toBe('validation_failed');
  const path = '/v1/webhook_endpoints';
  const refused = { url: 'https://127.0.0.1/' };
  expect((await shop.client.post(path, { key: 'refused-url', body: refused })).body.code).toBe('validation_failed');
  expect((await shop.client.post(path, { key: 'refused-url', body: ENDPOINT })).status).toBe(201);
  const crowd = await api.merchant();
  await admin.query(
    `INSERT INTO webhook_endpoints (merchant_id, id, url, created_at) SELECT $1, n, 'x', snowflake_time(n) FROM generate_series(1, 100) n`,
    [crowd.id],
  );
  const one: Post = { path, body: ENDPOINT, status: 201, client: crowd.client };
  expect((await ask(one, 'crowded')).body.code).toBe('validation_failed');
  await admin.query('DELETE FROM webhook_endpoints WHERE merchant_id = $1', [crowd.id]);
  expect((await ask(one, 'crowded')).status).toBe(201);
});

test('what is not there burns no key', async () => {
  const body = { ...DECISION };
  expect((await api.operator.post('/v1/merchants/17/api_keys', { key: 'early' })).status).toBe(404);
  expect((await api.operator.post('/v1/dead_letters/17/redrive', { key: 'early', body })).status).toBe(404);
  expect((await shop.client.post('/v1/webhook_deliveries/17/redeliver', { key: 'early' })).status).toBe(404);
  expect((await shop.client.post('/v1/accounts', { key: 'early', body: account() })).status).toBe(201);
});

describe('while the row of a key cannot be written', () => {
  /** Lets keys be looked up, and none be inserted, until `work` has ended. */
  const whileKeysWait = (work: (release: () => Promise<unknown>) => Promise<void>): Promise<void> =>
    asAdmin(api.on.ownerUrl, async (locker) => {
      await locker.query('BEGIN; LOCK TABLE idempotency_keys IN SHARE MODE');
      await work(() => locker.query('COMMIT'));
    });
  const waiting = (): Promise<number> =>
    until('a request waits to keep its key', async () => {
      const { rows } = await admin.query(
        `SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'idempotency_keys'::regclass`,
      );
      return rows[0]?.pid ?? false;
    });
  const accounts = async (): Promise<number> => (await api.countRows()).accounts ?? 0;

  test('a second request with it is told so after a while, and the first one goes on', async () => {
    const post: Post = { path: '/v1/accounts', body: account(), status: 201 };
    await whileKeysWait(async (release) => {
      const first = ask(post, 'slow');
      await waiting();
      const second = await ask(post, 'slow');
      expect([second.body.code, second.headers.get('retry-after')]).toEqual(['idempotency_in_flight', '1']);
      await release();
      expect((await first).status).toBe(201);
    });
    expect((await ask(post, 'slow')).headers.get('idempotent-replayed')).toBe('true');
  });

  test('a crash leaves neither key nor effect', async () => {
    const before = await accounts();
    const post: Post = { path: '/v1/accounts', body: account(), status: 201 };
    await whileKeysWait(async (release) => {
      const first = ask(post, 'crash');
      await admin.query('SELECT pg_terminate_backend($1, 10000)', [await waiting()]);
      expect((await first).status).toBe(503);
      await release();
    });
    expect(await accounts()).toBe(before);
    const retried = await ask(post, 'crash');
    expect([retried.status, retried.headers.get('idempotent-replayed')]).toEqual([201, null]);
    expect(await accounts()).toBe(before + 1);
  });
});

test('a posting that takes the key meanwhile keeps it, and the other request leaves no effect', async () => {
  const post: Post = { path: '/v1/accounts', body: account(), status: 201 };
  const { accounts } = await api.countRows();
  await asAdmin(api.on.ownerUrl, async (writer) => {
    const { rows: own } = await writer.query('SELECT pg_backend_pid() AS pid');
    const { pid } = own[0];
    await writer.query('BEGIN');
    await writer.query(`INSERT INTO idempotency_keys VALUES ($1, 'taken', sha256('x'), 201, 1)`, [shop.id]);
    const other = ask(post, 'taken');
    await until('the request waits for the other row', async () => {
      const { rows } = await admin.query('SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))', [pid]);
      return rows.length > 0;
    });
    await writer.query('COMMIT');
    expect((await other).body.code).toBe('idempotency_in_flight');
  });
  expect((await api.countRows()).accounts).toBe(accounts);
  expect((await ask(post, 'taken')).body.code).toBe('idempotency_key_reused');
});
