import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type AccountKey, type CachedBalance, cacheKey } from '#balances/cached-balance.js';
import { EMPTY_BALANCE } from '#ledger/accounts/account.js';
import { BalanceProcess, FakeDatabase, type ProcessOptions, soon, TTL } from './support/balance-process.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { until } from './support/until.js';

let redis: PrivateRedis;
let database: FakeDatabase;
let account: AccountKey;
let accounts = 0n;
const opened: BalanceProcess[] = [];

beforeAll(async () => {
  redis = await privateRedis();
});
afterAll(async () => {
  for (const process of opened) await process.close();
  await redis.stop();
});
beforeEach(() => {
  database = new FakeDatabase();
  accounts += 1n;
  account = { merchantId: 7n, accountId: accounts };
  database.versions.set(cacheKey(account), 1n);
});

async function open(url: string, options?: ProcessOptions): Promise<BalanceProcess> {
  const process = await BalanceProcess.open(url, database, options);
  opened.push(process);
  return process;
}

describe('reads', () => {
  test('10,000 reads of one cold key in two processes reach the database once', async () => {
    const processes = [await open(redis.url), await open(redis.url)];
    const answers: Promise<CachedBalance | undefined>[] = [];
    const thousand = () => {
      for (let count = 0; count < 1_000; count += 1)
        answers.push((processes[count % 2] as BalanceProcess).cached(account));
    };
    database.hold();
    thousand();
    await until('the first read has reached the database', () => database.queries > 0);
    // The others come while it is under way: they may neither join it nor go there themselves.
    for (let wave = 1; wave < 10; wave += 1) {
      const waits = processes.map(({ reader }) => reader.counts.leaseWaits);
      thousand();
      await until('both processes wait for the lease', () =>
        processes.every(({ reader }, index) => reader.counts.leaseWaits > (waits[index] as number)),
      );
    }
    database.release();
    const versions = (await Promise.all(answers)).map((answer) => answer?.version);
    expect(versions).toHaveLength(10_000);
    expect(new Set(versions)).toEqual(new Set([1n]));
    console.log(`10,000 concurrent reads of a cold key: ${database.accounts} database reads`);
    expect(database.accounts).toBeLessThanOrEqual(2);
  });

  test('a second read is served from the cache and says so', async () => {
    const one = await open(redis.url);
    expect(await one.cached(account)).toMatchObject({ version: 1n, postedDebits: 1n, source: 'database' });
    expect(await one.cached(account)).toMatchObject({ version: 1n, postedDebits: 1n, source: 'cache', asOfMs: 1 });
    expect(database.queries).toBe(1);
  });

  test('a published balance is served without any read of the database', async () => {
    const one = await open(redis.url);
    await one.write(account, 11n);
    expect(await one.cached(account)).toMatchObject({ version: 2n, postedDebits: 2n, source: 'cache' });
    expect(database.queries).toBe(0);
  });

  test('accounts asked for together go in one query and one pipeline', async () => {
    const one = await open(redis.url);
    const fifty = Array.from({ length: 50 }, (_, index) => ({
      merchantId: 8n,
      accountId: accounts * 100n + BigInt(index),
    }));
    for (const at of fifty) database.versions.set(cacheKey(at), 3n);
    const absent = { merchantId: 8n, accountId: 1n };
    const answers = await one.reader.readMany([...fifty, absent], { consistency: 'cached', deadline: soon() });
    expect(answers.map((answer) => answer?.version)).toEqual([...fifty.map(() => 3n), undefined]);
    expect(database).toMatchObject({ queries: 1, accounts: 51 });
  });

  test('a read that began after the query was sent does not take that query’s answer', async () => {
    const one = await open(redis.url);
    database.hold();
    const first = one.reader.read(account, { consistency: 'strong', deadline: soon() });
    await until('the query is under way', () => database.queries === 1);
    database.versions.set(cacheKey(account), 2n);
    const second = one.reader.read(account, { consistency: 'strong', deadline: soon() });
    database.release();
    expect((await first)?.version).toBe(1n);
    expect((await second)?.version).toBe(2n);
  });

  test('while a writer is at work the database answers, and the cache learns the version first', async () => {
    const one = await open(redis.url);
    await one.cached(account);
    const group = await one.fences.fence([account], 21n, 1_000);
    database.versions.set(cacheKey(account), 2n);
    expect(await one.cached(account)).toMatchObject({ version: 2n, source: 'database' });
    group.leave();
    expect(await one.fields(account)).toMatchObject({ ver: '2' });
    expect(await one.fields(account)).not.toHaveProperty('val');
  });

  test('min_version goes to the database when the cache is older, and is refused when it does not exist', async () => {
    const one = await open(redis.url);
    await one.cached(account);
    database.versions.set(cacheKey(account), 2n);
    expect(await one.cached(account, 2n)).toMatchObject({ version: 2n, source: 'database' });
    await expect(one.cached(account, 3n)).rejects.toThrow(/min_version/);
  });

  test('a read near the deadline is served at once, and one reader refreshes in the background', async () => {
    const one = await open(redis.url, { earlyRefresh: 1e9 });
    await one.cached(account);
    database.versions.set(cacheKey(account), 2n);
    expect(await one.cached(account)).toMatchObject({ version: 1n, source: 'cache' });
    await until('the refresh is in the cache', async () => (await one.fields(account)).ver === '2');
    expect(one.reader.counts).toMatchObject({ earlyRefreshes: 1, grants: 1 });
    expect(database.queries).toBe(2);
  });

  test('a bounded read may answer from the process, and a default read never does', async () => {
    const one = await open(redis.url, { l1MaxAgeMs: 60_000 });
    const bounded = () => one.reader.read(account, { consistency: 'bounded', deadline: soon() });
    await bounded();
    await one.write(account, 31n);
    expect(await bounded()).toMatchObject({ version: 1n, source: 'process' });
    expect(await one.cached(account)).toMatchObject({ version: 2n, source: 'cache' });
  });

  test('when a reader dies with its lease, the others wait no longer than their bound', async () => {
    const one = await open(redis.url, { leaseWaitMs: 30 });
    await one.client.run([{ script: 'read', account, args: ['somebody-else', TTL, TTL, 0] }]);
    expect(await one.cached(account)).toMatchObject({ version: 1n, source: 'database' });
    expect(one.reader.counts.leaseWaits).toBeGreaterThan(0);
  });

  test('beyond the queue of the database reads are refused as overloaded, at once', async () => {
    const one = await open(redis.url, { queue: 1 });
    database.hold();
    const reads = Array.from({ length: 3 }, (_, index) => {
      const at = { merchantId: 9n, accountId: accounts * 10n + BigInt(index) };
      database.versions.set(cacheKey(at), 1n);
      return one.reads.read(at, soon());
    });
    await expect(reads[1]).rejects.toMatchObject({ code: 'overloaded', retryAfterS: 1 });
    await expect(reads[2]).rejects.toMatchObject({ code: 'overloaded' });
    database.release();
    await expect(reads[0]).resolves.toMatchObject({ version: 1n });
  });
});

describe('the fences', () => {
  test('a group that rolled back leaves the value and no fence', async () => {
    const one = await open(redis.url);
    await one.cached(account);
    const group = await one.fences.fence([account], 41n, 1_000);
    await group.abandon();
    expect(await one.cached(account)).toMatchObject({ version: 1n, source: 'cache' });
  });

  test('accounts of the group that did not change are unfenced by the publish', async () => {
    const one = await open(redis.url);
    const other = { merchantId: 7n, accountId: account.accountId + 1_000_000n };
    const group = await one.fences.fence([account, other, account], 42n, 1_000);
    await group.publish([{ ...account, balance: { ...EMPTY_BALANCE, version: 2n } }]);
    const { hashes } = await one.client.hashes([cacheKey(account), cacheKey(other)]);
    expect(hashes[0]).toMatchObject({ ver: '2' });
    expect(hashes[0]).not.toHaveProperty('f:42');
    expect(hashes[1]).toEqual({});
  });

  test('an account that the group changed without a fence is invalidated all the same', async () => {
    const one = await open(redis.url);
    await one.cached(account);
    const group = await one.fences.fence([], 44n, 1_000);
    database.versions.set(cacheKey(account), 2n);
    await group.publish([{ ...account, balance: { ...EMPTY_BALANCE, version: 2n } }]);
    expect(await one.cached(account)).toMatchObject({ version: 2n, source: 'database' });
  });

  test('a group ends once', async () => {
    const one = await open(redis.url);
    const group = await one.fences.fence([account], 43n, 1_000);
    await group.abandon();
    await expect(group.publish([])).rejects.toThrow(/twice/);
  });

  test('what a replay learnt is invalidated before anybody hears of it', async () => {
    const one = await open(redis.url);
    await one.cached(account);
    await one.fences.invalidate([
      { ...account, version: 3n },
      { ...account, version: 2n },
    ]);
    database.versions.set(cacheKey(account), 3n);
    expect(await one.cached(account)).toMatchObject({ version: 3n, source: 'database' });
  });
});
