import { CommandBus } from '@nestjs/cqrs';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { holdExpiry } from '#ledger/duties/expiry.js';
import { CATALOGUE, type EventType } from '#outbox/log/catalogue.js';
import { LogWatch } from '#outbox/log/log-watch.js';
import { Database } from '#platform/postgres.js';
import { adjustOn, moved } from './support/adjustments.js';
import { type Answer, type Json, type Merchant, SYSTEM_ACCOUNTS, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { until } from './support/until.js';

/** Those who wait wait longer than anything here takes. */
const PATIENT = { REQUEST_DEADLINE_MS: '120000', EVENT_WAIT_MAX_MS: '100000' };

let api: TestApi;
/** A second process. */
let other: TestApi;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start({ environment: PATIENT });
  other = await TestApi.start({ on: api.on, environment: PATIENT });
  await Contract.hold(api);
  shop = await api.merchant();
});
afterEach(() => expect([...api.errors, ...other.errors]).toEqual([]));
afterAll(async () => {
  await other.stop();
  await api.stop();
});

const events = (of: Merchant, query = ''): Promise<Answer> => of.client.get(`/v1/events${query}`);

/** The next `count` events. Other databases' transactions on this server may hold some back for a while. */
async function follow(
  of: Merchant,
  count: number,
  from: { after?: string; limit?: number } = {},
): Promise<{ log: Json[]; cursor: string }> {
  const log: Json[] = [];
  let cursor = from.after ?? '';
  while (log.length < count) {
    const { body } = await events(of, `?limit=${from.limit ?? 100}&wait_ms=30000${cursor && `&after=${cursor}`}`);
    if (body.data.length === 0) throw new Error(`${log.length} of ${count} events, and no more within 30 s`);
    log.push(...body.data);
    cursor = body.next_cursor;
  }
  expect(log).toHaveLength(count);
  return { log, cursor };
}

const idsOf = (log: Json[]): string[] => log.map(({ id }) => id);
const watchOf = (of: TestApi): LogWatch => of.app.get(LogWatch, { strict: false });
const connected = async (): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: api.on.ownerUrl });
  await client.connect();
  return client;
};

describe('the log', () => {
  test('tells what happened, oldest first, in the current version of each type, exactly as the catalogue says', async () => {
    const seller = await api.merchant();
    await seller.open('from', { metadata: { tier: 'gold' } });
    const to = await seller.open('to', { min_available: '-50', normal_side: 'debit' });
    const closed = await seller.open('closed');
    await seller.client.post(`/v1/accounts/${closed}/close`);
    await seller.client.post(`/v1/accounts/${closed}/reopen`);
    const posted = await seller.posted(transfer('from', 'to', '10', { external_ref: 'a "quoted" \u2028 one' }));
    const soon = new Date(Date.now() + 1_500).toISOString();
    await seller.posted(transfer('to', 'from', '3', { status: 'pending', expires_at: soon }));
    const hold = await seller.posted(transfer('to', 'from', '4', { status: 'pending' }));
    await seller.move(hold.id, 'post', { amount: '1', final: false });
    await seller.move(hold.id, 'void');
    await seller.move(posted.id, 'reverse', { amount: '2' });
    await until('the hold has expired', () => holdExpiry(api.app.get(Database), api.app.get(CommandBus)).round());
    await adjustOn(api, seller, moved(BigInt(closed), BigInt(to), 3n, 2n));
    const { log } = await follow(seller, SYSTEM_ACCOUNTS + 13);
    for (const { type, version, data } of log) {
      const schema = CATALOGUE[type as EventType];
      expect(version).toBe(schema.version);
      expect(schema.versions.at(-1)?.data.safeParse(data).error, type).toBeUndefined();
    }
    expect(new Set(log.map(({ type }) => type))).toEqual(new Set(WRITTEN));
    const told = log.slice(SYSTEM_ACCOUNTS);
    expect(told.map(({ type, data }) => [type, data.kind])).toEqual([
      ['account.created', undefined],
      ['account.created', undefined],
      ['account.created', undefined],
      ['account.closed', undefined],
      ['account.reopened', undefined],
      ['transaction.posted', 'posted'],
      ['transaction.pending', 'pending'],
      ['transaction.pending', 'pending'],
      ['transaction.posted', 'capture'],
      ['transaction.voided', 'void'],
      ['transaction.posted', 'reversal'],
      ['transaction.expired', 'expiry'],
      ['transaction.adjusted', 'adjustment'],
    ]);
    expect(told[1].data).toMatchObject({ account_id: to, min_available: '-50', normal_side: 'debit', name: 'to' });
    expect(told[5]).toMatchObject({
      occurred_at: posted.created_at,
      data: {
        transaction_id: posted.id,
        amount: '10',
        effective_at: posted.effective_at,
        external_ref: posted.external_ref,
      },
    });
    expect(told[6].data.expires_at).toBe(soon);
    expect(told[7].data.expires_at).toBeNull();
  });

  test('is the same whatever the size of its pages, and can be followed on from its end', async () => {
    const seller = await api.merchant();
    for (let i = 0; i < 5; i += 1) await seller.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    const all = SYSTEM_ACCOUNTS + 5;
    const { log, cursor } = await follow(seller, all);
    expect(new Set(idsOf(log)).size).toBe(all);
    for (const limit of [1, 5, all - 1, all, all + 1]) {
      expect((await follow(seller, all, { limit })).log).toEqual(log);
      const { body } = await events(seller, `?limit=${limit}`);
      expect([body.data.length, body.has_more]).toEqual([Math.min(limit, all), limit < all]);
    }
    const end = (await events(seller, `?after=${cursor}`)).body;
    expect(end).toEqual({ data: [], has_more: false, next_cursor: cursor });
    const next = await seller.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    const news = (await events(seller, `?after=${cursor}&wait_ms=30000`)).body;
    expect(news.data.map(({ data }: Json) => data.transaction_id)).toEqual([next.id]);
  });

  test('tells an old version as today’s, and one from a newer build as that wrote it', async () => {
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    const old = { transaction_id: '5', kind: 'pending', entries: [] };
    await asAdmin(api.on.ownerUrl, (owner) =>
      owner.query(
        `INSERT INTO events (merchant_id, type, version, occurred_at, data)
         VALUES ($1, 'transaction.pending', 1, now(), $2), ($1, 'transaction.pending', 99, now(), '{"new":1}'), ($1, 'moon.risen', 1, now(), '{}')`,
        [seller.id, JSON.stringify(old)],
      ),
    );
    const { body } = await events(seller, `?after=${cursor}&wait_ms=30000`);
    expect(body.data.map(({ type, version, data }: Json) => ({ type, version, data }))).toEqual([
      {
        type: 'transaction.pending',
        version: 3,
        data: { ...old, expires_at: null, metadata: null, ignored_floor: false },
      },
      { type: 'transaction.pending', version: 99, data: { new: 1 } },
      { type: 'moon.risen', version: 1, data: {} },
    ]);
  });

  test('is one’s own, and its cursors are taken for nothing else', async () => {
    const [mine, theirs] = [await api.merchant(), await api.merchant()];
    await theirs.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    const { cursor, log } = await follow(theirs, SYSTEM_ACCOUNTS + 1);
    expect(idsOf((await follow(mine, SYSTEM_ACCOUNTS)).log).some((id) => idsOf(log).includes(id))).toBe(false);
    const own: string = (await events(mine)).body.next_cursor;
    const mixed = own.slice(0, 8) + (own[8] === 'A' ? 'B' : 'A') + own.slice(9);
    const list: string = (await theirs.client.get('/v1/accounts?limit=1')).body.next_cursor;
    for (const bad of [cursor, mixed, `${own}A`, own.slice(0, -1), '', 'x', '%00', list]) {
      const answer = await events(mine, `?after=${bad}`);
      expect([bad, answer.status, answer.body.errors[0].path]).toEqual([bad, 422, 'after']);
    }
    expect((await mine.client.get(`/v1/accounts?cursor=${own}`)).status).toBe(422);
    expect((await api.actingFor(mine.id).get(`/v1/events?after=${own}`)).status).toBe(200);
  });

  test.each([
    'limit=0',
    'limit=1001',
    'wait_ms=-1',
    'wait_ms=1.5',
    'wait_ms=300001',
    'wait_ms=',
    'cursor=x',
    'after=a&after=b',
  ])('%s is refused', async (query) => {
    const { status, body } = await events(shop, `?${query}`);
    expect([status, body.code, body.errors[0].path]).toEqual([422, 'validation_failed', query.split('=')[0]]);
  });
});

/** Types that the ledger writes; the rest of the catalogue belongs to other capabilities. */
const WRITTEN = (Object.keys(CATALOGUE) as EventType[]).filter((type) => /^(account|transaction)\./.test(type));

describe('a transaction that is held open', () => {
  const INSERT = `INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, 'account.closed', 1, now(), $2)`;
  const [LATE, FIRST, BETWEEN, LAST] = ['11', '12', '13', '14'];
  const named = (name: string | undefined) => JSON.stringify({ account_id: name });
  const told = (log: Json[]): string[] => log.map(({ data }: Json) => data.account_id ?? 'posting');
  let clients: pg.Client[];

  beforeAll(async () => {
    clients = await Promise.all([1, 2, 3].map(connected));
  });
  afterAll(() => Promise.all(clients.map((client) => client.end())));

  test('and commits late is told before what was committed meanwhile, and neither is skipped', async () => {
    const [late] = clients as [pg.Client];
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    await late.query('BEGIN');
    await late.query(INSERT, [seller.id, named(LATE)]);
    await seller.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    const held = (await events(seller, `?after=${cursor}`)).body;
    expect(held).toMatchObject({ data: [], next_cursor: cursor });
    const waiting = follow(seller, 2, { after: cursor });
    await until('somebody waits', () => watchOf(api).followers > 0);
    await late.query('COMMIT');
    expect(told((await waiting).log)).toEqual([LATE, 'posting']);
  });

  test('and rolls back is told nowhere, and holds nothing up afterwards', async () => {
    const [late] = clients as [pg.Client];
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    await late.query('BEGIN');
    await late.query(INSERT, [seller.id, named(LATE)]);
    await seller.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    expect((await events(seller, `?after=${cursor}`)).body.data).toEqual([]);
    await late.query('ROLLBACK');
    expect(told((await follow(seller, 1, { after: cursor })).log)).toEqual(['posting']);
  });

  /** The one that a cursor of `seq` alone would lose, even with an eye on open transactions. */
  test('between two that wrote in the other order than they began hides neither', async () => {
    const [first, between, last] = clients as [pg.Client, pg.Client, pg.Client];
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    for (const client of [first, between, last]) {
      await client.query('BEGIN');
      await client.query('SELECT pg_current_xact_id()');
    }
    await last.query(INSERT, [seller.id, named(LAST)]);
    await last.query('COMMIT');
    await first.query(INSERT, [seller.id, named(FIRST)]);
    await first.query('COMMIT');
    const seen = await follow(seller, 1, { after: cursor });
    await between.query(INSERT, [seller.id, named(BETWEEN)]);
    await between.query('COMMIT');
    const rest = await follow(seller, 2, { after: seen.cursor });
    expect([...told(seen.log), ...told(rest.log)]).toEqual([FIRST, BETWEEN, LAST]);
  });
});

describe('who waits', () => {
  const waitingAt = (of: TestApi, count: number) => until(`${count} wait`, () => watchOf(of).followers === count);

  test('is answered by the next posting, of this process or another one, and holds no connection meanwhile', async () => {
    const seller = await api.merchant();
    let { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    const owner = await connected();
    for (const by of [api, other, api]) {
      const waiting = events(seller, `?after=${cursor}&wait_ms=100000`);
      await waitingAt(api, 1);
      const { polls } = watchOf(api);
      await until('the log has been looked at', () => watchOf(api).polls > polls + 1);
      await until('nobody is in a transaction', async () => {
        const { rows } = await owner.query(
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'`,
        );
        return rows.length === 0;
      });
      const { id } = await seller.via(by).posted(transfer('cash:EUR', 'suspense:EUR', '1'));
      const { body } = await waiting;
      expect(body.data.map(({ data }: Json) => data.transaction_id)).toEqual([id]);
      cursor = body.next_cursor;
    }
    await owner.end();
    expect(watchOf(api).followers).toBe(0);
  });

  test('is told that there is nothing when the time is over, and nobody looks into the log any more', async () => {
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    const { body } = await events(seller, `?after=${cursor}&wait_ms=60`);
    expect(body).toEqual({ data: [], has_more: false, next_cursor: cursor });
    await waitingAt(api, 0);
  });

  test('and goes away gives the place back', async () => {
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    const abort = new AbortController();
    const gone = fetch(`${api.url}/v1/events?after=${cursor}&wait_ms=100000`, {
      headers: seller.client.headers,
      signal: abort.signal,
    });
    await waitingAt(api, 1);
    abort.abort();
    await expect(gone).rejects.toThrow();
    await waitingAt(api, 0);
  });

  test('is bounded by the deadline of requests and by EVENT_WAIT_MAX_MS', async () => {
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    for (const [name, value] of [
      ['REQUEST_DEADLINE_MS', '3000'],
      ['EVENT_WAIT_MAX_MS', '100'],
    ] as const) {
      const brief = await TestApi.start({ on: api.on, environment: { [name]: value } });
      const { status, body } = await seller.via(brief).client.get(`/v1/events?after=${cursor}&wait_ms=300000`);
      expect([status, body.data]).toEqual([200, []]);
      await brief.stop();
    }
  });

  test('beyond the places of its merchant, or of all, is told that there are none', async () => {
    const environment = { EVENT_FOLLOWERS: '3', EVENT_FOLLOWERS_PER_MERCHANT: '2', ...PATIENT };
    const small = await TestApi.start({ on: api.on, environment });
    const merchants = await Promise.all([1, 2, 3].map(() => api.merchant()));
    const [one, two, three] = merchants.map((merchant) => merchant.via(small)) as [Merchant, Merchant, Merchant];
    const cursors = await Promise.all(
      [one, two, three].map(async (each) => (await follow(each, SYSTEM_ACCOUNTS)).cursor),
    );
    const wait = (each: Merchant, index: number) => events(each, `?after=${cursors[index]}&wait_ms=100000`);
    const waiting = [wait(one, 0), wait(one, 0)];
    await waitingAt(small, 2);
    const refused = await wait(one, 0);
    expect([refused.status, refused.body.code, refused.headers.get('retry-after')]).toEqual([503, 'overloaded', '1']);
    waiting.push(wait(two, 1));
    await waitingAt(small, 3);
    expect((await wait(three, 2)).body.code).toBe('overloaded');
    expect((await events(three)).status).toBe(200);
    await one.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    await two.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    expect((await Promise.all(waiting)).map(({ body }) => body.data.length)).toEqual([1, 1, 1]);
    await small.stop();
  });

  test('is answered at once when the process goes down', async () => {
    const brief = await TestApi.start({
      on: api.on,
      environment: { ...PATIENT, SHUTDOWN_GRACE_MS: '30000' },
    });
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    const waiting = events(seller.via(brief), `?after=${cursor}&wait_ms=100000`);
    await waitingAt(brief, 1);
    const stopped = brief.stop();
    expect((await waiting).body.data).toEqual([]);
    await stopped;
  });

  test('with a key that is revoked meanwhile is refused', async () => {
    const seller = await api.merchant();
    const { cursor } = await follow(seller, SYSTEM_ACCOUNTS);
    const waiting = events(seller, `?after=${cursor}&wait_ms=100000`);
    await waitingAt(api, 1);
    await api.operator.request('DELETE', `/v1/merchants/${seller.id}/api_keys/${seller.apiKey.id}`);
    const operator = api.actingFor(seller.id);
    await operator.post('/v1/transactions', { body: transfer('cash:EUR', 'suspense:EUR', '1'), key: 'late' });
    expect((await waiting).status).toBe(401);
  });
});
