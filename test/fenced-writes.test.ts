import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { BALANCE_CACHE, type BalanceCache } from '#balances/balance-cache.js';
import { type Merchant, TestApi, transfer, whileLocked } from './support/api.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';

/** Two API processes' worth of the service on one database and one Redis; Redis is reached through a proxy that can be cut. */
describe('postings and the balance cache', () => {
  let on: TestDatabase;
  let proxy: TcpProxy;
  let redis: Redis;
  let one: TestApi;
  let other: TestApi;
  let shop: Merchant;

  beforeAll(async () => {
    on = await freshDatabase();
    redis = new Redis(inject('redisUrl'));
    proxy = await TcpProxy.open(inject('redisUrl'));
    const environment = {
      REDIS_URL: proxy.url,
      WRITER_GROUP_TIMEOUT_MS: '2000',
      BALANCE_SWEEP_AFTER_MS: '2500',
      BALANCE_TTL_MS: '30000',
      // A busy machine is not the subject here.
      BALANCE_REDIS_TIMEOUT_MS: '5000',
      REQUEST_DEADLINE_MS: '60000',
    };
    one = await TestApi.start({ on, environment });
    other = await TestApi.start({ on, environment });
    shop = await one.merchant('EUR');
  });
  afterAll(async () => {
    await one.stop();
    await other.stop();
    await proxy.close();
    redis.disconnect();
    await on.drop();
  });

  const balanceAt = async (api: TestApi, accountId: string, query = '') =>
    (await shop.via(api).client.get(`/v1/accounts/${accountId}/balance${query}`)).body;
  const keyOf = (accountId: string): string => `bal:{${shop.id}}:${accountId}`;

  test('an acknowledged posting is what every process reads, and it is served from the cache', async () => {
    const wallet = await shop.open('wallet:seen');
    for (let version = 1; version <= 20; version += 1) {
      const poster = shop.via(version % 2 === 0 ? one : other);
      await poster.posted(transfer('cash:EUR', 'wallet:seen', '5'));
      const balance = await balanceAt(version % 2 === 0 ? other : one, wallet);
      expect(balance).toMatchObject({ version: String(version), available: String(5 * version), source: 'cache' });
    }
  });

  test('no fence is left behind by postings, refusals, replays and failures of validation', async () => {
    const wallet = await shop.open('wallet:clean', { min_available: '0' });
    await shop.post(transfer('cash:EUR', 'wallet:clean', '5'), 'clean');
    await shop.post(transfer('cash:EUR', 'wallet:clean', '5'), 'clean');
    expect((await shop.post(transfer('wallet:clean', 'cash:EUR', '9'))).body.code).toBe('insufficient_funds');
    expect((await shop.post(transfer('wallet:clean', 'nobody', '1'))).body.code).toBe('not_found');
    const fields = await redis.hkeys(keyOf(wallet));
    expect(fields.filter((field) => field.startsWith('f:'))).toEqual([]);
  });

  test('while a posting is under way nobody serves its accounts from the cache', async () => {
    const wallet = await shop.open('wallet:fenced');
    await shop.posted(transfer('cash:EUR', 'wallet:fenced', '5'));
    await whileLocked(on, wallet, async (locker) => {
      const posting = shop.posted(transfer('cash:EUR', 'wallet:fenced', '5'));
      await locker.waiters(1);
      expect(await balanceAt(other, wallet)).toMatchObject({ version: '1', source: 'database' });
      await locker.release();
      await posting;
    });
    expect(await balanceAt(other, wallet)).toMatchObject({ version: '2', source: 'cache' });
  });

  test('a refusal tells what it learnt: no later read is older than the balance that it spoke of', async () => {
    const wallet = await shop.open('wallet:spoken', { min_available: '0' });
    await shop.posted(transfer('cash:EUR', 'wallet:spoken', '5'));
    // As if the posting had been published nowhere: an older value that is still served.
    await redis.hset(keyOf(wallet), { ver: '0', val: '0 0 0 0 0' });
    expect(await balanceAt(other, wallet)).toMatchObject({ version: '0' });
    expect((await shop.post(transfer('wallet:spoken', 'cash:EUR', '9'))).status).toBe(422);
    expect(await balanceAt(other, wallet)).toMatchObject({ version: '1', available: '5' });
  });

  test('the fence of a writer that died after COMMIT is swept by whoever reads, and the balance is served again', async () => {
    const wallet = await shop.open('wallet:orphan');
    await shop.posted(transfer('cash:EUR', 'wallet:orphan', '5'));
    const cache = one.app.get<BalanceCache>(BALANCE_CACHE);
    await redis.hset(keyOf(wallet), 'f:77', '1');
    await redis.persist(keyOf(wallet));
    expect(await balanceAt(other, wallet)).toMatchObject({ version: '1', source: 'database' });
    await until('a read swept the fence', async () => {
      const { source } = await balanceAt(other, wallet);
      return source === 'cache';
    });
    expect(cache.state().breaker).toBe('closed');
  });

  test('without Redis writes go on, reads come from the database, and all heals by itself', async () => {
    const wallet = await shop.open('wallet:away');
    await shop.posted(transfer('cash:EUR', 'wallet:away', '5'));
    proxy.refuse();
    const answers = [];
    for (let n = 0; n < 20; n += 1) {
      answers.push(await shop.via(n % 2 === 0 ? one : other).post(transfer('cash:EUR', 'wallet:away', '5')));
      answers.push(await shop.via(other).client.get(`/v1/accounts/${wallet}/balance`));
    }
    expect(answers.map(({ status }) => status).filter((status) => status >= 400)).toEqual([]);
    expect(answers.at(-1)?.body).toMatchObject({ version: '21', available: '105', source: 'database' });
    expect((await other.client().get('/readyz')).body.checks.balance_cache).toBe('degraded');
    proxy.accept();
    await until('the cache serves again', async () => {
      await shop.posted(transfer('cash:EUR', 'wallet:away', '1'));
      return (await balanceAt(other, wallet)).source === 'cache';
    });
    await until('readyz says so', async () => (await other.client().get('/readyz')).body.checks.balance_cache === 'ok');
  });

  test('2,000 requests for one cold key at once cost one read of the database', async () => {
    const wallet = await shop.open('wallet:cold');
    await shop.posted(transfer('cash:EUR', 'wallet:cold', '5'));
    await redis.del(keyOf(wallet));
    const caches = [one, other].map((api) => api.app.get<BalanceCache>(BALANCE_CACHE));
    const before = caches.map(({ reader }) => reader.counts);
    const clients = [shop.via(one).client, shop.via(other).client];
    const sources = new Map<string, number>();
    for (let wave = 0; wave < 4; wave += 1) {
      const reads = Array.from({ length: 500 }, (_, n) => clients[n % 2]?.get(`/v1/accounts/${wallet}/balance`));
      for (const answer of await Promise.all(reads)) {
        expect(answer?.body).toMatchObject({ version: '1', available: '5' });
        sources.set(answer?.body.source, (sources.get(answer?.body.source) ?? 0) + 1);
      }
    }
    const after = caches.map(({ reader }) => reader.counts);
    const granted = after.reduce((sum, counts, n) => sum + counts.grants - (before[n]?.grants ?? 0), 0);
    expect(granted).toBe(1);
    expect(sources.get('cache')).toBeGreaterThan(1_000);
  });
});
