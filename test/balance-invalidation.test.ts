import { afterAll, beforeAll, test } from 'vitest';
import { type BalanceCache, openBalanceCache } from '#balances/balance-cache.js';
import { BalanceInvalidation } from '#balances/invalidation.js';
import { Deadline } from '#platform/deadline.js';
import { readConfig } from '../apps/config.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { until } from './support/until.js';

/** So long that nothing is fresh again by itself within a test. */
const TTL_MS = 600_000;
let on: TestDatabase;
let ledger: TestLedger;
let redis: PrivateRedis;
let cache: BalanceCache;
let outbox: TestOutbox;
let merchantId: bigint;
let accounts: [bigint, bigint];

beforeAll(async () => {
  [on, redis] = await Promise.all([freshDatabase(), privateRedis()]);
  // A writer that invalidates nothing: a process that is cut off from Redis, or a job that somebody wrote in a hurry.
  ledger = await TestLedger.open(on);
  merchantId = await ledger.createMerchant();
  accounts = [
    await ledger.createAccount(merchantId, { code: 'a', minAvailable: null }),
    await ledger.createAccount(merchantId, { code: 'b' }),
  ];
  const config = readConfig({
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    BALANCE_TTL_MS: String(TTL_MS),
    BALANCE_EARLY_REFRESH: '0',
    BALANCE_REDIS_TIMEOUT_MS: '500',
  });
  cache = openBalanceCache(redis.url, config, ledger.database);
  await cache.client.ready();
  const target = new BalanceInvalidation(cache.client, ledger.database, { ttlMs: TTL_MS });
  outbox = await TestOutbox.start(on, ledger, { consumers: [], targets: [target] });
});
afterAll(async () => {
  await outbox.stop();
  await Promise.all([cache.close(), ledger.close()]);
  await Promise.all([redis.stop(), on.drop()]);
});

const post = async () => postedId(await ledger.post(merchantId, transfer(...accounts, 1n)));
const read = () =>
  cache.reader.read(
    { merchantId, accountId: accounts[1] },
    { consistency: 'cached', minVersion: undefined, deadline: Deadline.after(20_000) },
  );

test('a change that nobody published reaches the cache from the log', async () => {
  for (let version = 1n; version <= 5n; version += 1n) {
    await post();
    await until('the cache says so', async () => (await read())?.version === version);
    await until('the cache answers itself', async () => (await read())?.source === 'cache');
  }
});

test('also when Redis is away for a while, and when it comes back with what it had', async () => {
  await until('the cache answers', async () => (await read())?.source === 'cache');
  redis.signal('SIGSTOP');
  await post();
  const { rounds } = outbox.outbox;
  await until('the relay has met that', () => (outbox.outbox.rounds[0] ?? 0) > (rounds[0] ?? 0) + 1);
  redis.signal('SIGCONT');
  await until('the cache answers itself, with the new balance', async () => {
    const answer = await read();
    return answer?.source === 'cache' && answer.version === 6n;
  });
});
