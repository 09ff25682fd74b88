import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError } from '#platform/config.js';
import { readConfig } from '../apps/config.js';
import { type Answer, type Client, type Json, Merchant, TestApi, transfer, until } from './support/api.js';
import { BreakShop } from './support/breaks.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { type DocumentedRoute, documentedRoutes } from './support/documented-requests.js';
import { FOREIGN_INSERTS } from './support/foreign-rows.js';

let api: TestApi;
let mine: Merchant;
let theirs: Merchant;
/** A break of one's own, and its report. */
let own: { reportId: string; id: string };
/** What of the other merchant's a request may name. */
let foreign: Record<'code' | (typeof KINDS)[number], string>;
const KINDS = [
  'account',
  'empty',
  'posted',
  'pending',
  'payment',
  'payout',
  'endpoint',
  'delivery',
  'merchant',
  'key',
  'reconciliation',
  'break',
] as const;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  [mine, theirs] = [await api.merchant('EUR', 'USD'), await api.merchant('EUR', 'USD')];
  const account = await theirs.open('their:secret', { min_available: '0' });
  const empty = await theirs.open('their:empty');
  const posted = (await theirs.posted(transfer('cash:EUR', 'their:secret', '10', { external_ref: 'their-ref' }))).id;
  const pending = (await theirs.posted(transfer('their:secret', 'cash:EUR', '5', { status: 'pending' }))).id;
  const opening = { amount: '7', currency: 'EUR', capture: 'manual' };
  const payment = (await theirs.client.post('/v1/payments', { body: opening, key: randomUUID() })).body.id;
  const payout = await payoutOf(theirs.id);
  const { body } = await theirs.client.post('/v1/webhook_endpoints', { body: { url: 'https://example.com/theirs' } });
  const delivery = await deliveryTo(body.id);
  const breaks = await asAdmin(api.on.ownerUrl, async (owner) => {
    const shop = await BreakShop.open(api, owner, theirs);
    const ownShop = await BreakShop.open(api, owner, mine);
    own = { reportId: ownShop.reportId, id: await ownShop.found() };
    return { reconciliation: shop.reportId, break: await shop.found() };
  });
  const ids = { merchant: theirs.id, key: theirs.apiKey.id };
  foreign = {
    account,
    empty,
    code: 'their:secret',
    posted,
    pending,
    payment,
    payout,
    endpoint: body.id,
    delivery,
    ...breaks,
    ...ids,
  };
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

/** One that has been sent, without a worker. */
async function deliveryTo(endpoint: string): Promise<string> {
  await asAdmin(api.on.ownerUrl, (owner) =>
    owner.query(
      `INSERT INTO webhook_deliveries (merchant_id, endpoint_id, id, event_xid, event_seq, event_type, status)
       VALUES ($1, $2, $2, '1', 1, 'account.created', 'delivered')`,
      [theirs.id, endpoint],
    ),
  );
  return endpoint;
}

/** One that has failed. */
async function payoutOf(merchantId: string): Promise<string> {
  await asAdmin(api.on.ownerUrl, (owner) => owner.query(FOREIGN_INSERTS.payouts as string, [merchantId]));
  return merchantId;
}

/** Everything that a client sees, but for what differs from one request to the next. */
/** What is left of one's limits differs from request to request. */
const OF_THE_REQUEST = ['date', 'traceresponse', 'ratelimit'];

function seen({ status, headers, text, body }: Answer): unknown {
  const shown = Object.fromEntries([...headers].filter(([name]) => !OF_THE_REQUEST.includes(name)));
  return { status, shown, text: body?.trace_id ? text.replaceAll(body.trace_id, '…') : text };
}

/** `trace_id`s inside of a batch's results, too. */
function withoutTraces(answer: Answer): Answer {
  return { ...answer, text: answer.text.replace(/"trace_id":"[0-9a-f]{32}"/g, '"trace_id":"…"') };
}

/** The id of nothing, as long as a real one. */
const unknownLike = (id: string): string => String(BigInt(id) + 1_000_003n);

const named = (account_id: string, more: object = {}): Json => ({
  type: 'grab',
  entries: [
    { account_id, direction: 'debit', amount: '1', currency: 'EUR' },
    { account_code: 'suspense:EUR', direction: 'credit', amount: '1', currency: 'EUR' },
  ],
  ...more,
});

type Ask = (id: string, as: Merchant) => Promise<Answer>;
interface Way {
  of: keyof typeof foreign;
  ask: Ask;
  /** 404 unless it is said otherwise. */
  status?: number;
}

/** For a break of one's own. */
async function proposing(as: Merchant, under: string, entries: Json): Promise<Answer> {
  const { reportId, id } = own;
  const body = { action: 'post', entries, reason: 'x' };
  return as.client.post(`${under.replace(/\{.*\}/, reportId)}/${id}/propose`, { body });
}

const ROUTES = documentedRoutes();
const OF_MERCHANTS = ROUTES.filter(({ access }) => access === 'merchant' || access === 'operator_for_merchant');
/** Merchants' own keys are refused there before anything is looked up. */
const OF_OPERATORS = ROUTES.filter(({ access }) => access === 'operator' || access === 'operator_for_merchant');

const routeNamed = (wanted: string) => ROUTES.find(({ name }) => name === wanted) as DocumentedRoute;

/** Ways to name something foreign in a body, by route; and in paths and queries more than their documents show. */
const WAYS: Record<string, Way[]> = {
  'GET /v1/accounts/{id}/balance': ['?min_version=1', '?at=2026-01-01T00:00:00Z', '?consistency=strong'].map(
    (query) => ({ of: 'account', ask: (id, as) => as.client.get(`/v1/accounts/${id}/balance${query}`) }),
  ),
  'GET /v1/accounts/{id}/entries': ['?limit=1', '?effective_from=2020-01-01T00:00:00Z'].map((query) => ({
    of: 'account',
    ask: (id, as) => as.client.get(`/v1/accounts/${id}/entries${query}`),
  })),
  'GET /v1/transactions': [
    {
      of: 'account',
      ask: (id, as) => as.client.get(`/v1/transactions?account_id=${id}&expand=entries&status=pending`),
    },
  ],
  'GET /v1/daily_summaries': [
    { of: 'account', ask: (id, as) => as.client.get(`/v1/daily_summaries?account_id=${id}&limit=1&type=transfer`) },
  ],
  'POST /v1/transactions': [
    { of: 'account', ask: (id, as) => as.post(named(id)) },
    { of: 'account', ask: (id, as) => as.post(named(id, { status: 'pending' })) },
    { of: 'account', ask: (id, as) => as.client.post('/v1/transactions', { body: named(id, { dry_run: true }) }) },
    { of: 'code', ask: (code, as) => as.post(transfer(code, 'suspense:EUR', '1')) },
    { of: 'code', ask: (code, as) => as.post(transfer(code, 'suspense:EUR', '1', { currency: 'USD' })) },
  ],
  'POST /v1/transactions/batch': (['atomic', 'independent'] as const).map((mode) => ({
    of: 'account',
    status: mode === 'atomic' ? 404 : 200,
    ask: (id, as) =>
      as.client.post('/v1/transactions/batch', { body: { mode, transactions: [named(id)] }, key: randomUUID() }),
  })),
  ...Object.fromEntries(
    ['/v1/breaks', '/v1/reconciliations/{reconciliation_id}/breaks'].map((under): [string, Way[]] => [
      `POST ${under}/{id}/propose`,
      [
        { of: 'account', ask: (id, as) => proposing(as, under, named(id).entries) },
        { of: 'code', ask: (code, as) => proposing(as, under, transfer(code, 'suspense:EUR', '1').entries) },
      ],
    ]),
  ),
  'POST /v1/transactions/{id}/post': [
    { of: 'pending', ask: (id, as) => as.move(id, 'post', { amount: '999' }) },
    { of: 'posted', ask: (id, as) => as.move(id, 'post') },
  ],
  'POST /v1/transactions/{id}/reverse': [
    { of: 'posted', ask: (id, as) => as.move(id, 'reverse', { amount: '999' }) },
    { of: 'posted', ask: (id, as) => as.move(id, 'reverse') },
  ],
};

/** Asks `route` as its document shows, with `ids` in its path and `query` behind it. */
function request(route: DocumentedRoute, ids: string, as: { client: Client }, query = ''): Promise<Answer> {
  const path = route.path.replaceAll(/\{\w+\}/g, ids) + query;
  return as.client.request(route.method, path, {
    ...(route.example !== undefined && { body: route.example }),
    ...(route.needsKey && { key: randomUUID() }),
  });
}

describe('a foreign id is an unknown id, byte for byte', () => {
  const operator = () => new Merchant(mine.id, api.actingFor(mine.id), mine.apiKey, mine.accounts);
  const askersOf = ({ access }: DocumentedRoute) => (access === 'merchant' ? [mine, operator()] : [operator()]);

  /** Whoever asks, and whatever the id is one of: `status`, as for an id that nothing has, and no row is left behind. */
  async function expectUnknown(
    askers: readonly Merchant[],
    kinds: readonly (keyof typeof foreign)[],
    ask: Ask,
    status = 404,
  ): Promise<void> {
    const before = await api.countRows();
    for (const as of askers) {
      for (const of of kinds) {
        const unknown = of === 'code' ? 'their:nobody' : unknownLike(foreign[of]);
        const [told, expected] = [await ask(foreign[of], as), await ask(unknown, as)].map(withoutTraces) as [
          Answer,
          Answer,
        ];
        // What a ledger would tell of an own account, such as its code or balance, stays out.
        expect(told.text).toContain('not_found');
        expect(told.text.replaceAll(foreign[of], '#')).toBe(expected.text.replaceAll(unknown, '#'));
        expect(seen({ ...told, text: '' })).toEqual(seen({ ...expected, text: '' }));
        expect([of, told.status]).toEqual([of, status]);
      }
    }
    // An independent batch keeps its answer with its key; nothing else leaves a row.
    const after = await api.countRows();
    for (const table of ['idempotency_keys', 'write_fences']) delete after[table];
    expect(before).toMatchObject(after);
  }

  test.each(OF_MERCHANTS.filter(({ pathIds }) => pathIds.length > 0))(
    '$name, whatever of another merchant’s is in its path',
    (route) => expectUnknown(askersOf(route), KINDS, (id, as) => request(route, id, as)),
  );

  test.each(
    OF_MERCHANTS.flatMap((route) => route.queryIds.map((parameter) => ({ route, parameter, name: route.name }))),
  )('$name, whatever of another merchant’s is in $parameter', ({ route, parameter }) =>
    expectUnknown(askersOf(route), KINDS, (id, as) => request(route, id, as, `?${parameter}=${id}`)),
  );

  const rows = Object.entries(WAYS).flatMap(([route, ways]) => ways.map((way, index) => ({ route, index, ...way })));
  test.each(rows)('$route, way $index, naming another merchant’s $of', ({ route, of, ask, status }) =>
    expectUnknown(askersOf(routeNamed(route)), [of], ask, status),
  );

  test('whatever a body can name is in the table', () => {
    expect(ROUTES.length).toBeGreaterThan(30);
    const naming = OF_MERCHANTS.filter(({ bodyIds }) => bodyIds.length > 0).map(({ name }) => name);
    expect(naming.length).toBeGreaterThan(1);
    expect(Object.keys(WAYS)).toEqual(expect.arrayContaining(naming));
    expect(ROUTES.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.keys(WAYS)));
  });

  test.each(ROUTES.filter(({ access }) => access === 'merchant'))(
    '$name, acting for another merchant',
    async (route) => {
      const acting = (merchantId: string) => ({
        client: api.client({ authorization: `Bearer ${mine.apiKey.secret}`, 'counterfoil-merchant': merchantId }),
      });
      const ids = unknownLike(foreign.account);
      const [told, unknown] = [
        withoutTraces(await request(route, ids, acting(theirs.id))),
        withoutTraces(await request(route, ids, acting(unknownLike(theirs.id)))),
      ];
      expect(told.status).toBe(404);
      expect(seen(told)).toEqual(seen(unknown));
    },
  );

  test('the owner, asking the same, is answered', async () => {
    for (const path of [
      `accounts/${foreign.account}`,
      `accounts/${foreign.account}/balance`,
      `transactions/${foreign.posted}`,
      `payments/${foreign.payment}`,
      `payouts/${foreign.payout}`,
      `webhook_endpoints/${foreign.endpoint}/deliveries`,
    ]) {
      expect((await theirs.client.get(`/v1/${path}`)).status).toBe(200);
    }
  });

  test('lists hold own rows only, whatever they are filtered by', async () => {
    for (const query of ['', '?external_ref=their-ref', '?status=pending', '?type=transfer']) {
      expect((await mine.client.get(`/v1/transactions${query}`)).body.data).toEqual([]);
    }
    const { data } = (await mine.client.get('/v1/accounts?limit=1000')).body;
    expect(new Set(data.map((account: Json) => account.merchant_id))).toEqual(new Set([mine.id]));
    expect((await mine.client.get('/v1/accounts?code_prefix=their')).body.data).toEqual([]);
    expect((await mine.client.get('/v1/webhook_endpoints')).body.data).toEqual([]);
  });

  test('a code that another merchant uses is free', async () => {
    await expect(mine.open('their:empty')).resolves.toMatch(/^\d+$/);
  });
});

describe('who acts for whom', () => {
  test("a merchant's key with another merchant's id in the header finds nothing, as with an unknown one", async () => {
    const as = (merchantId: string) =>
      mine.client.get('/v1/accounts', { headers: { 'counterfoil-merchant': merchantId } }).then(withoutTraces);
    const [told, unknown] = [await as(theirs.id), await as(unknownLike(theirs.id))];
    expect(told.status).toBe(404);
    expect(seen(told)).toEqual(seen(unknown));
    expect((await as(mine.id)).status).toBe(200);
    for (const wrong of ['', 'x', '0', `${mine.id},${mine.id}`, ` ${mine.id} x`])
      expect((await as(wrong)).status).toBe(404);
  });

  test("an operator's key acts for the one merchant that it names", async () => {
    const { data } = (await api.actingFor(theirs.id).get('/v1/transactions?type=transfer')).body;
    expect(data.map((one: Json) => one.id)).toEqual([foreign.pending, foreign.posted]);
    const posted = await api
      .actingFor(mine.id)
      .post('/v1/transactions', { body: transfer('cash:EUR', 'suspense:EUR', '1'), key: 'op' });
    expect([posted.status, posted.body.merchant_id]).toEqual([201, mine.id]);
    expect((await api.actingFor(unknownLike(mine.id)).get('/v1/accounts')).status).toBe(404);
    expect((await api.operator.get('/v1/accounts')).status).toBe(422);
  });

  test.each(OF_OPERATORS)('$name refuses a merchant’s key alike, whatever of anybody’s it names', async (route) => {
    const before = await api.countRows();
    const ids = [mine.id, mine.accounts['cash:EUR'] as string, ...KINDS.map((of) => foreign[of])];
    const answers = await Promise.all([...ids, unknownLike(mine.id)].map((id) => request(route, id, mine)));
    for (const answer of answers) expect([answer.status, answer.body.code]).toEqual([403, 'forbidden']);
    expect(new Set(answers.map((answer) => JSON.stringify(seen(answer)))).size).toBe(1);
    expect(await api.countRows()).toEqual(before);
    expect((await theirs.client.get('/v1/accounts')).status).toBe(200);
  });

  test('a key is revoked only under its own merchant', async () => {
    const revoke = (keyId: string) =>
      api.operator.request('DELETE', `/v1/merchants/${mine.id}/api_keys/${keyId}`).then(withoutTraces);
    const [told, unknown] = [await revoke(theirs.apiKey.id), await revoke(unknownLike(theirs.apiKey.id))];
    expect(told.status).toBe(404);
    expect(seen(told)).toEqual(seen(unknown));
    expect((await theirs.client.get('/v1/accounts')).status).toBe(200);
  });
});

describe('revoked keys', () => {
  test('no environment makes a process trust a revoked key for more than five seconds', () => {
    const environment = { DATABASE_URL: 'postgres://x:y@127.0.0.1/x' };
    expect(readConfig(environment).apiKeyCacheMs).toBeLessThanOrEqual(5_000);
    expect(() => readConfig({ ...environment, API_KEY_CACHE_MS: '5001' })).toThrow(ConfigError);
  });

  test('a key that one process revokes is refused there at once, and soon in every other one', async () => {
    const other = await TestApi.start({ on: api.on, environment: { API_KEY_CACHE_MS: '400' } });
    try {
      const one = await api.merchant();
      const status = async (of: TestApi) => (await of.withKey(one.apiKey.secret).get('/v1/accounts')).status;
      expect([await status(api), await status(other)]).toEqual([200, 200]);
      const issued = await api.operator.post(`/v1/merchants/${one.id}/api_keys`);
      expect((await other.withKey(issued.body.secret).get('/v1/accounts')).status).toBe(200);
      await api.operator.request('DELETE', `/v1/merchants/${one.id}/api_keys/${one.apiKey.id}`);
      expect(await status(api)).toBe(401);
      await until(async () => (await status(other)) === 401, 5_000);
      expect((await other.withKey(issued.body.secret).get('/v1/accounts')).status).toBe(200);
    } finally {
      await other.stop();
    }
  });
});

test('two tenants on one connection, requests and failures interleaved, never see a row of each other', async () => {
  const narrow = await TestApi.start({
    on: api.on,
    config: { databasePoolSize: 1, writerLanes: 1, databaseConnectTimeoutMs: 10_000 },
  });
  try {
    const tenants = [mine.via(narrow), theirs.via(narrow)];
    await Promise.all(
      Array.from({ length: 120 }, async (_, round) => {
        const self = tenants[round % 2] as Merchant;
        const other = tenants[(round + 1) % 2] as Merchant;
        const asks: [status: number, ask: () => Promise<Answer>][] = [
          [200, () => self.client.get('/v1/accounts?limit=1000')],
          [404, () => self.client.get(`/v1/accounts/${other.accounts['cash:EUR']}/balance`)],
          [201, () => self.post(transfer('cash:EUR', 'suspense:EUR', '1'))],
          [
            422,
            () =>
              self.client.post('/v1/accounts', {
                body: { code: 'cash:EUR', name: 'x', currency: 'EUR', normal_side: 'debit' },
              }),
          ],
          [200, () => self.client.get('/v1/transactions?expand=entries')],
          [200, () => self.client.get(`/v1/accounts/${self.accounts['cash:EUR']}`)],
        ];
        const [status, ask] = asks[Math.floor(round / 2) % asks.length] as (typeof asks)[number];
        const answer = await ask();
        expect(answer.status).toBe(status);
        expect(answer.text).not.toContain(other.id);
        for (const row of [answer.body, ...(answer.body.data ?? [])]) {
          if (row.merchant_id !== undefined) expect(row.merchant_id).toBe(self.id);
        }
      }),
    );
    expect(narrow.errors).toEqual([]);
  } finally {
    await narrow.stop();
  }
});
