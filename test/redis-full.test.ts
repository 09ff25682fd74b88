import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Merchant, TestApi, transfer } from './support/api.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { until } from './support/until.js';

/** A Redis that has no memory left: by its policy it evicts budgets as soon as the next one is asked for, or keeps them. */

let on: TestDatabase;
let redis: PrivateRedis;
let admin: Redis;
let apis: [TestApi, TestApi];

beforeAll(async () => {
  [on, redis] = await Promise.all([freshDatabase(), privateRedis()]);
  admin = new Redis(redis.url);
  const environment = { REDIS_URL: redis.url, LIMIT_REDIS_TIMEOUT_MS: '1000' };
  apis = [await TestApi.start({ on, environment }), await TestApi.start({ on, environment })];
});
afterAll(async () => {
  await Promise.all(apis.map((api) => api.stop()));
  admin.disconnect();
  await redis.stop();
  await on.drop();
});

const look = ({ client, accounts }: Merchant) => client.get(`/v1/accounts/${accounts['cash:EUR']}`);
const LOOK = 7;
const BURST = 1_400;

async function limited(): Promise<Merchant> {
  const shop = await apis[0].merchant('EUR');
  const body = { units_per_second: 1, burst_units: BURST, units_in_flight: 1_000 };
  await apis[0].operator.request('PUT', `/v1/merchants/${shop.id}/limits`, { body });
  return shop;
}

describe.each(['volatile-lru', 'allkeys-lru', 'noeviction'])('a full Redis with %s', (policy) => {
  test('has budgets spent no more than once, by all processes together', async () => {
    const shop = await limited();
    const there = shop.via(apis[1]);
    for (const each of [shop, there, shop, there]) await look(each);
    await admin.config('SET', 'maxmemory-policy', policy);
    await admin.config('SET', 'maxmemory', '1');
    try {
      let served = 0;
      let refused = 0;
      for (let asked = 0; asked < 400 && refused < 40; asked += 1) {
        for (const { status } of await Promise.all([look(shop), look(there)])) {
          served += Number(status === 200);
          refused += Number(status === 429);
        }
      }
      // What comes back meanwhile, and what is in hand at the end, which is lost with its budget.
      expect(served).toBeLessThan((BURST / LOOK) * 1.1);
      expect(served).toBeGreaterThan((BURST / LOOK) * 0.7);
    } finally {
      await admin.config('SET', 'maxmemory', '128mb');
      await admin.config('SET', 'maxmemory-policy', 'volatile-lru');
    }
  });
});

/** Redis says nothing of its memory, and each process has asked for it in vain. */
async function whileNobodyMayAsk(work: () => Promise<void>): Promise<void> {
  await admin.call('ACL', 'SETUSER', 'watcher', 'on', 'nopass', '+@all');
  const watcher = new Redis(redis.url, { username: 'watcher', password: 'any' });
  const refused = async () =>
    Number(/cmdstat_info:.*rejected_calls=(\d+)/.exec(await watcher.info('commandstats'))?.[1] ?? 0);
  try {
    await watcher.call('ACL', 'SETUSER', 'default', '-info');
    const before = await refused();
    await until('all have asked in vain', async () => (await refused()) >= before + 2 * apis.length);
    await work();
  } finally {
    await watcher.call('ACL', 'SETUSER', 'default', '+info');
    watcher.disconnect();
  }
}

test('a Redis that may evict any key has no balances, and has them once it keeps fences', async () => {
  const [api] = apis;
  const shop = await api.merchant('EUR');
  const sourceOf = async () => (await shop.balanceOf(shop.accounts['cash:EUR'] as string)).source;
  const state = async () => (await api.client().get('/readyz')).body.checks.balance_cache;
  await until('balances are cached', async () => (await sourceOf()) === 'cache');
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
  try {
    await until('it is told', async () => (await state()) === 'degraded');
    for (let asked = 0; asked < 3; asked += 1) expect(await sourceOf()).toBe('database');
    await shop.posted(transfer('cash:EUR', 'suspense:EUR', '1'));
    expect(await sourceOf()).toBe('database');
    await whileNobodyMayAsk(async () => {
      expect(await state()).toBe('degraded');
      expect(await sourceOf()).toBe('database');
    });
  } finally {
    await admin.config('SET', 'maxmemory-policy', 'volatile-lru');
  }
  await until('balances are cached again', async () => (await sourceOf()) === 'cache');
  expect(await state()).toBe('ok');
});
