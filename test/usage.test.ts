import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '#kernel/clock.js';
import type { Charged } from '#limits/charge.js';
import { Usage } from '#limits/usage/usage.js';
import { addUsage, listUsage, purgeUsage } from '#limits/usage/usage-store.js';
import { type UsageSum, UsageSums } from '#limits/usage/usage-sums.js';
import { Deadline } from '#platform/deadline.js';
import { createLogger } from '#platform/logging.js';
import { Database } from '#platform/postgres.js';
import { freePort } from '../scripts/ports.mjs';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { readingOf } from './support/metrics.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';

const HOUR_MS = 3_600_000;
/** Units of an account by its id. */
const GET = 7;
const logger = createLogger({ level: 'silent', service: 'test' });
const thisHour = () => Math.floor(Date.now() / HOUR_MS) * HOUR_MS;

let api: TestApi;
let shop: Merchant;

beforeAll(async () => {
  const environment = { LIMIT_USAGE_FLUSH_MS: '20', METRICS_PORT: String(await freePort()) };
  api = await TestApi.start({ environment });
  await Contract.hold(api);
});
beforeEach(async () => {
  shop = await api.merchant('EUR');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

const usageOf = async (of: Merchant, query = ''): Promise<Json[]> =>
  (await of.client.get(`/v1/usage?limit=1000${query}`)).body.data;
/** All hours of one kind: a test may begin in one and end in the next. */
const sumOf = (rows: Json[], price: string, by = 'merchant', count = 'requests'): number =>
  rows.filter((row) => row.price === price && row.by === by).reduce((sum, row) => sum + row[count], 0);

describe('GET /v1/usage', () => {
  test('tells what the merchant has used, by price, with what operators did in its name apart, and of no other', async () => {
    const neighbour = await api.merchant('EUR');
    for (const _ of [1, 2, 3]) await shop.client.get(`/v1/accounts/${shop.accounts['cash:EUR']}`);
    for (const _ of [1, 2]) await api.actingFor(shop.id).get(`/v1/accounts/${shop.accounts['cash:EUR']}`);
    await neighbour.client.get('/v1/accounts?limit=1');
    const rows = await until('all of it is written', async () => {
      const read = await usageOf(shop);
      return sumOf(read, 'get') === 3 && sumOf(read, 'get', 'operator') === 2 ? read : undefined;
    });
    expect([sumOf(rows, 'get', 'merchant', 'units'), sumOf(rows, 'get', 'operator', 'units')]).toEqual([
      3 * GET,
      2 * GET,
    ]);
    expect(rows.every(({ hour }) => Date.parse(hour) % HOUR_MS === 0)).toBe(true);
    await until('the neighbour’s is', async () => sumOf(await usageOf(neighbour), 'list') > 0);
    expect(sumOf(await usageOf(neighbour), 'get')).toBe(0);
  });

  test('counts what was refused, at no units', async () => {
    await api.operator.request('PUT', `/v1/merchants/${shop.id}/limits`, {
      body: { units_per_second: 1, burst_units: 20, units_in_flight: 100 },
    });
    const statuses: number[] = [];
    for (let asked = 0; asked < 20; asked += 1)
      statuses.push((await shop.client.get(`/v1/accounts/${shop.accounts['cash:EUR']}`)).status);
    const refused = statuses.filter((status) => status === 429).length;
    expect(refused).toBeGreaterThan(5);
    const path = `/v1/usage?limit=1000`;
    const rows: Json[] = await until('it is written', async () => {
      const { data } = (await api.actingFor(shop.id).get(path)).body;
      return sumOf(data, 'get', 'merchant', 'refused') === refused ? data : undefined;
    });
    expect(sumOf(rows, 'get')).toBe(20 - refused);
    expect(sumOf(rows, 'get', 'merchant', 'units')).toBe(GET * (20 - refused));
  });

  describe('with hours of two days', () => {
    const hours = Array.from({ length: 48 }, (_, back) => new Date(thisHour() - (back + 1) * HOUR_MS).toISOString());
    let old: Merchant;
    beforeAll(async () => {
      old = await api.merchant('EUR');
      await asAdmin(api.on.ownerUrl, (owner) =>
        owner.query(
          `INSERT INTO merchant_usage SELECT $1, hour, price, by_operator, 1, 2, 3
             FROM unnest($2::timestamptz[]) hour, unnest('{get,posting}'::text[]) price, unnest('{false,true}'::boolean[]) by_operator`,
          [old.id, hours],
        ),
      );
    });

    test('gives every row once, page by page, newest hour first', async () => {
      const to = hours[0] as string;
      const seen: string[] = [];
      for (let cursor = ''; ; ) {
        const { body } = await old.client.get(`/v1/usage?limit=7&to=${to}${cursor}`);
        seen.push(...body.data.map(({ hour, price, by }: Json) => `${hour} ${price} ${by}`));
        if (!body.has_more) break;
        cursor = `&cursor=${body.next_cursor}`;
      }
      const keys = ['posting operator', 'posting merchant', 'get operator', 'get merchant'];
      expect(seen).toEqual(hours.slice(1).flatMap((hour) => keys.map((key) => `${hour} ${key}`)));
    });

    test('tells those from one moment to another', async () => {
      const rows = await usageOf(old, `&from=${hours[9]}&to=${hours[7]}`);
      expect([...new Set(rows.map(({ hour }) => hour))]).toEqual([hours[8], hours[9]]);
      const within = new Date(Date.parse(hours[9] as string) + 1).toISOString();
      const later = await usageOf(old, `&from=${within}&to=${hours[7]}`);
      expect([...new Set(later.map(({ hour }) => hour))]).toEqual([hours[8]]);
    });

    test('refuses what is no time, and another merchant’s cursor', async () => {
      expect((await old.client.get('/v1/usage?from=yesterday')).body.errors[0].path).toBe('from');
      const { body } = await old.client.get('/v1/usage?limit=1');
      expect((await shop.client.get(`/v1/usage?limit=1&cursor=${body.next_cursor}`)).status).toBe(422);
    });
  });
});

test('metrics tell units by price, refusals by reason, and how alike merchants fared', async () => {
  const reading = async (metric: string) => readingOf(await api.metrics(), `counterfoil_${metric}`) ?? 0;
  const units = 'limit_units_total{price="get",by="merchant"}';
  const before = await reading(units);
  await shop.client.get(`/v1/accounts/${shop.accounts['cash:EUR']}`);
  await until('it is counted', async () => (await reading(units)) === before + GET);
  expect(await reading('limit_refusals_total{reason="units"}')).toBeGreaterThan(5);
  expect(await reading('limit_refusals_total{reason="in_flight"}')).toBe(0);
  expect(await reading('limit_fairness')).toBeGreaterThan(0);
  expect(await reading('limit_budgets')).toBeGreaterThan(0);
  await until('all is written', async () => (await reading('usage_waiting')) === 0);
  expect([await reading('usage_failures_total'), await reading('usage_uncounted_total')]).toEqual([0, 0]);
});

test('what was used until the end of a process is there afterwards', async () => {
  const other = await TestApi.start({ on: api.on, environment: { LIMIT_USAGE_FLUSH_MS: '600000' } });
  await shop.via(other).client.get('/v1/accounts?limit=1');
  await other.stop();
  expect(sumOf(await usageOf(shop), 'list')).toBe(1);
});

describe('a flush', () => {
  let proxy: TcpProxy;
  let database: Database;
  let usages: Usage[];
  let merchantId: bigint;
  beforeEach(async () => {
    proxy = await TcpProxy.open(api.on.runtimeUrl);
    database = new Database(proxy.url, { poolSize: 4, connectTimeoutMs: 5_000, applicationName: 'test' });
    usages = [];
    merchantId = BigInt(shop.id);
  });
  afterEach(async () => {
    proxy.accept();
    await Promise.all(usages.map((usage) => usage.close()));
    await database.close();
    await proxy.close();
  });

  /** One that flushes when it is told to. */
  function usage(): Usage {
    const one = new Usage(database, { logger, clock: systemClock, flushMs: 600_000 });
    usages.push(one);
    return one;
  }
  const charged = (more: Partial<Charged> = {}): Charged => ({
    merchantId,
    byOperator: false,
    method: 'GET',
    route: '/',
    price: 'upload',
    estimated: 1,
    actual: 7,
    refused: undefined,
    ...more,
  });
  const written = async () => {
    const page = { filter: { fromMs: undefined, toMs: undefined }, before: undefined, limit: 1_000 };
    const rows = await listUsage(database, merchantId, page, Deadline.after(5_000));
    const uploads = rows.filter(({ price }) => price === 'upload');
    const sum = (of: 'requests' | 'units') => uploads.reduce((all, row) => all + row[of], 0);
    return [sum('requests'), sum('units')];
  };

  test('whose answer is lost counts once, and so does what came after it', async () => {
    const one = usage();
    one.add(charged());
    proxy.onNext('COMMIT', (link, deliver) => void TcpProxy.answerLost(link, deliver));
    await expect(one.flush()).rejects.toThrow();
    one.add(charged());
    expect(one.waiting).toBe(2);
    await one.flush();
    await one.flush();
    expect([await written(), one.waiting, one.failures]).toEqual([[2, 14], 0, 1]);
  });

  test('that failed is made up for', async () => {
    const one = usage();
    one.add(charged());
    proxy.refuse();
    for (const _ of [1, 2]) await expect(one.flush()).rejects.toThrow();
    one.add(charged());
    proxy.accept();
    await one.flush();
    expect(await written()).toEqual([2, 14]);
  });

  test('adds to what other processes have, and they do not wait for each other in a circle', async () => {
    const others = Array.from({ length: 4 }, usage);
    const merchants = await Promise.all(Array.from({ length: 6 }, () => api.merchant('EUR')));
    const ids = [merchantId, ...merchants.map(({ id }) => BigInt(id))];
    for (let round = 0; round < 10; round += 1) {
      for (const [place, one] of others.entries()) {
        const order = place % 2 === 0 ? ids : [...ids].reverse();
        for (const id of order) one.add(charged({ merchantId: id, byOperator: round % 2 === 0 }));
      }
      await Promise.all(others.map((one) => one.flush()));
    }
    expect(await written()).toEqual([40, 280]);
    expect(others.map(({ failures }) => failures)).toEqual([0, 0, 0, 0]);
  });

  test('takes rows in the order of their key, whatever order they came in: two never wait for each other', async () => {
    const hourMs = thisHour();
    const one = { requests: 1, units: 0, refused: 0 };
    const merchants = [merchantId, BigInt((await api.merchant('EUR')).id)];
    const sums = merchants.flatMap((id) =>
      [hourMs - HOUR_MS, hourMs].flatMap((at) =>
        ['change', 'upload'].flatMap((price) =>
          [false, true].map((byOperator) => ({ merchantId: id, hourMs: at, price, byOperator, ...one })),
        ),
      ),
    );
    const flush = (of: UsageSum[]) =>
      addUsage(database, { process: randomUUID(), number: 1, sums: of }, Deadline.after(20_000));
    await flush(sums);
    const bystander = await Bystander.open(api.on);
    try {
      for (const [place, held] of sums.entries()) {
        const key = [held.merchantId, new Date(held.hourMs), held.price, held.byOperator];
        await bystander.client.query('BEGIN');
        const row = 'SELECT FROM merchant_usage WHERE (merchant_id, hour, price, by_operator)';
        await bystander.client.query(`${row} = ($1, $2, $3, $4) FOR UPDATE`, key);
        const flushes = [flush(sums), flush([...sums].reverse())];
        await until('both wait', async () => (await bystander.waiting('test')).length === 2);
        // None of those that come behind it is taken yet.
        const behind = `${row} > ($1, $2, $3, $4) AND merchant_id = ANY ($5) FOR UPDATE SKIP LOCKED`;
        const { rowCount } = await bystander.client.query(behind, [...key, merchants]);
        await bystander.release();
        await Promise.all(flushes);
        expect([place, rowCount]).toEqual([place, sums.length - place - 1]);
      }
    } finally {
      await bystander.close();
    }
  });

  test('does not wait behind what its merchant reads', async () => {
    const few = { poolSize: 2, merchantConnections: 1, connectTimeoutMs: 1_000, applicationName: 'test' };
    const busy = new Database(api.on.runtimeUrl, few);
    const one = new Usage(busy, { logger, clock: systemClock, flushMs: 600_000 });
    const held = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const reading = busy.transaction({ merchantIds: [merchantId] }, Deadline.after(20_000), async () => {
      begun.resolve();
      await held.promise;
    });
    await begun.promise;
    one.add(charged());
    await one.flush();
    expect(await written()).toEqual([1, 7]);
    held.resolve();
    await reading;
    await one.close();
    await busy.close();
  });

  test('of more merchants than one statement takes writes all of them', async () => {
    const one = usage();
    for (let id = 1n; id <= 1_100n; id += 1n) one.add(charged({ merchantId: id }));
    one.add(charged());
    await one.flush();
    expect([await written(), one.waiting]).toEqual([[1, 7], 0]);
  });
});

test('sums that cannot be written are bounded, and what has no room is counted', () => {
  const sums = new UsageSums(2);
  const of = (merchantId: bigint): Charged =>
    ({ merchantId, byOperator: false, price: 'get', actual: 1, refused: undefined }) as Charged;
  for (const merchantId of [1n, 2n, 3n, 1n]) sums.add(of(merchantId), 0);
  expect([sums.size, sums.uncounted]).toEqual([2, 1]);
  expect(sums.take(1)).toMatchObject([{ merchantId: 1n, requests: 2, units: 2 }]);
  expect(sums.take(9)).toMatchObject([{ merchantId: 2n }]);
});

test('hours that are older than they are kept for are forgotten, of every merchant', async () => {
  const database = new Database(api.on.runtimeUrl, { poolSize: 2, connectTimeoutMs: 5_000, applicationName: 'test' });
  const other = await api.merchant('EUR');
  const hours = [0, 24, 25, 1_000].map((back) => new Date(thisHour() - back * HOUR_MS).toISOString());
  await asAdmin(api.on.ownerUrl, async (owner) => {
    const text = `INSERT INTO merchant_usage SELECT id, hour, 'payout', false, 1, 1, 0 FROM unnest($1::bigint[]) id, unnest($2::timestamptz[]) hour`;
    await owner.query(text, [[shop.id, other.id], hours]);
    await owner.query(`INSERT INTO usage_flushes VALUES ($1, 1, now() - interval '8 days')`, [randomUUID()]);
  });
  try {
    expect(await purgeUsage(database, 24 * HOUR_MS, thisHour())).toBeGreaterThanOrEqual(4);
    for (const one of [shop, other]) {
      const left = (await usageOf(one)).filter(({ price }) => price === 'payout').map(({ hour }) => hour);
      expect(left).toEqual(hours.slice(0, 2));
    }
    const { rows } = await asAdmin(api.on.ownerUrl, (owner) =>
      owner.query(`SELECT FROM usage_flushes WHERE flushed_at < now() - interval '1 day'`),
    );
    expect(rows).toEqual([]);
    expect(await purgeUsage(database, 24 * HOUR_MS, thisHour())).toBe(0);
  } finally {
    await database.close();
  }
});
