import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { CacheUnavailable } from '#balances/cache-client.js';
import { type AccountKey, cacheKey } from '#balances/cached-balance.js';
import { EMPTY_BALANCE } from '#ledger/accounts/account.js';
import { Deadline } from '#platform/deadline.js';
import { BalanceProcess, FakeDatabase, type ProcessOptions, TTL } from './support/balance-process.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { cutClient, TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';

let redis: PrivateRedis;
let database: FakeDatabase;
let account: AccountKey;
let accounts = 0n;
const opened: BalanceProcess[] = [];
/** Beside the processes: to starve Redis and the like. */
let admin: Redis;

beforeAll(async () => {
  redis = await privateRedis();
  admin = new Redis(redis.url);
  // One of the tests restarts Redis.
  admin.on('error', () => undefined);
});
afterAll(async () => {
  for (const process of opened) await process.close();
  admin.disconnect();
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

describe('a Redis that is not well', () => {
  test('cut off: reads come from the database, writes are acknowledged, and all of it ends by itself', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const one = await open(proxy.url);
    await one.cached(account);
    proxy.refuse();
    expect(await one.write(account, 51n)).toBe(2n);
    expect(await one.cached(account)).toMatchObject({ version: 2n, source: 'database' });
    for (let call = 0; call < 20; call += 1) await one.cached(account);
    expect(one.client.state).toMatchObject({ connected: false });
    expect(one.client.state.breaker).not.toBe('closed');
    proxy.accept();
    await until('the cache serves again', async () => (await one.cached(account))?.source === 'cache');
    expect(one.client.state).toMatchObject({ breaker: 'closed', connected: true, lastFailure: undefined });
    await proxy.close();
  });

  test('back again: it is found also where nobody asks for a balance, and where the clock was set back meanwhile', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const one = await open(proxy.url);
    await one.cached(account);
    proxy.refuse();
    for (let call = 0; call < 20; call += 1) await one.cached(account);
    expect(one.client.state.breaker).not.toBe('closed');
    // What waits to be invalidated would ask for one TTL.
    one.pending.close();
    const now = Date.now;
    const wallClock = vi.spyOn(Date, 'now').mockImplementation(() => now() - 3_600_000);
    try {
      proxy.accept();
      await until('the breaker closes', () => one.client.state.breaker === 'closed', 10_000);
    } finally {
      wallClock.mockRestore();
    }
    await proxy.close();
  });

  test('cut off from a Redis that others reach: this process itself never answers less than it knows', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const [cutOff, other] = [await open(proxy.url), await open(redis.url)];
    await other.cached(account);
    proxy.refuse();
    await cutOff.write(account, 52n);
    expect(cutOff.pending.floorOf(account)).toBe(2n);
    // X2: somebody else may still be served the old balance, for less than one TTL.
    expect(await other.cached(account)).toMatchObject({ version: 1n, source: 'cache' });
    proxy.accept();
    await until('the connection is back', () => cutOff.client.state.connected);
    expect((await cutOff.cached(account))?.version).toBe(2n);
    await until('it was invalidated after all', async () => (await other.cached(account))?.version === 2n);
    await proxy.close();
  });

  test('what could not be invalidated is tried again also when a fence could not be removed since', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const [cutOff, other] = [await open(proxy.url), await open(redis.url)];
    await other.cached(account);
    proxy.refuse();
    await cutOff.write(account, 58n);
    const group = await cutOff.fences.fence([account], 59n, 1_000);
    await group.abandon();
    proxy.accept();
    await until('nothing waits', () => cutOff.pending.size === 0);
    expect((await other.cached(account))?.version).toBe(2n);
    await proxy.close();
  });

  test('a fence whose answer is lost with its connection is not sent again', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const [one, other] = [await open(proxy.url), await open(redis.url)];
    const token = 5_300_000_000_053n;
    const sent = proxy.count(String(token));
    proxy.onNext(String(token), (link, deliver) => {
      deliver();
      cutClient(link);
    });
    const group = await one.fences.fence([account], token, 1_000);
    expect(group.confirmed).toBe(false);
    await until('Redis has it all the same', async () => `f:${token}` in (await other.fields(account)));
    await until('the connection is back', () => one.client.state.connected);
    expect(sent()).toBe(1);
    await group.publish([{ ...account, balance: { ...EMPTY_BALANCE, version: 2n } }]);
    // Nothing is installed behind a fence that was not confirmed, and the fence is gone.
    const left = await other.fields(account);
    expect(left).not.toHaveProperty('val');
    expect(left).not.toHaveProperty(`f:${token}`);
    await proxy.close();
  });

  test('stalled: nobody waits longer than the deadline of the call, and the breaker then asks nobody', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const one = await open(proxy.url, { timeoutMs: 40 });
    await one.cached(account);
    proxy.stall();
    const startedAt = performance.now();
    const group = await one.fences.fence([account], 53n, 20_000);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(group.confirmed).toBe(false);
    await group.abandon();
    await until('the breaker opens', async () => {
      await one.cached(account);
      return one.client.state.breaker !== 'closed';
    });
    expect(one.client.state.timeouts).toBeGreaterThan(0);
    // Of many that ask at once one tries, if its time has come.
    const ask = () => one.client.run([{ script: 'invalidate', account, args: [1, TTL] }]).catch((error) => error);
    const answers = await Promise.all(Array.from({ length: 50 }, ask));
    expect(answers.every((answer) => answer instanceof CacheUnavailable)).toBe(true);
    expect(answers.filter(({ isLeftAlone }) => isLeftAlone).length).toBeGreaterThanOrEqual(49);
    proxy.resume();
    await until('the cache serves again', async () => (await one.cached(account))?.source === 'cache');
    await proxy.close();
  });

  test('silent again as it is looked for: nobody waits for that look', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const one = await open(proxy.url, { timeoutMs: 40 });
    const ask = () => one.client.run([{ script: 'invalidate', account, args: [1, TTL] }]).catch((error) => error);
    proxy.refuse();
    await until('the breaker opens', async () => (await ask()).isLeftAlone === true);
    let looked = false;
    proxy.onNext('ping', () => {
      looked = true;
      proxy.stall();
    });
    proxy.accept();
    await until('it is looked for', () => looked);
    expect(await ask()).toBeInstanceOf(CacheUnavailable);
    await proxy.close();
  });

  test('restarted empty: the scripts are loaded again and the first read fills', async () => {
    const one = await open(redis.url);
    await one.cached(account);
    await redis.restart();
    await until('the cache serves again', async () => (await one.cached(account))?.source === 'cache');
    expect(await one.write(account, 54n)).toBe(2n);
    expect((await one.cached(account))?.version).toBe(2n);
  });

  test('scripts that Redis has forgotten are loaded and the call is sent again, for nothing had run', async () => {
    const one = await open(redis.url);
    await one.client.run([{ script: 'invalidate', account, args: [1, TTL] }]);
    await admin.script('FLUSH');
    expect(await one.write(account, 55n)).toBe(2n);
    expect(await one.cached(account)).toMatchObject({ version: 2n, source: 'cache' });
  });

  test('without memory: the write goes on unfenced, the old value is gone, and the breaker stays closed', async () => {
    const one = await open(redis.url);
    await one.cached(account);
    await admin.config('SET', 'maxmemory', '1');
    try {
      for (let token = 56n; token < 80n; token += 1n) {
        const version = await one.write(account, token);
        expect((await one.cached(account))?.version).toBe(version);
      }
      expect(one.client.state).toMatchObject({ breaker: 'closed' });
      expect(one.client.state.refusals).toBeGreaterThan(0);
      expect(one.fences.counts.unfenced).toBe(24);
    } finally {
      await admin.config('SET', 'maxmemory', '128mb');
    }
  });

  test('read-only: the breaker opens, and reads come from the database', async () => {
    const one = await open(redis.url);
    await one.cached(account);
    await admin.replicaof('127.0.0.1', '1');
    try {
      await until('the breaker opens', async () => {
        expect(await one.cached(account)).toMatchObject({ version: 1n, source: 'database' });
        return one.client.state.breaker !== 'closed';
      });
    } finally {
      await admin.replicaof('NO', 'ONE');
    }
    await until('the cache serves again', async () => (await one.cached(account))?.source === 'cache');
  });

  test('strict: an acknowledgement that could not be published waits until no old balance is left', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const ttlMs = 400;
    const one = await open(proxy.url, { policy: 'strict', ttlMs });
    await one.cached(account);
    const group = await one.fences.fence([account], 90n, 1_000);
    database.versions.set(cacheKey(account), 2n);
    proxy.refuse();
    const startedAt = performance.now();
    await group.publish([{ ...account, balance: { ...EMPTY_BALANCE, version: 2n } }]);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(ttlMs - 1);
    await proxy.close();
  });

  test('strict: a read whose version could not be invalidated waits until nobody is served less, once for each version', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const ttlMs = 1_500;
    const one = await open(proxy.url, { policy: 'strict', ttlMs });
    const other = await open(redis.url, { ttlMs });
    await other.cached(account);
    proxy.refuse();
    database.versions.set(cacheKey(account), 2n);
    expect((await one.cached(account))?.version).toBe(2n);
    expect((await other.cached(account))?.version).toBe(2n);
    await until('nothing is tried again', () => one.pending.size === 0);
    const hurried = { consistency: 'cached' as const, deadline: Deadline.after(ttlMs - 100) };
    expect((await one.reader.read(account, hurried))?.version).toBe(2n);
    database.versions.set(cacheKey(account), 3n);
    const late = { consistency: 'strong' as const, deadline: Deadline.after(100) };
    await expect(one.reader.read(account, late)).rejects.toMatchObject({ code: 'deadline_exceeded' });
    await proxy.close();
  });
});

describe('a fence that was not confirmed', () => {
  test('installs nothing when it arrives late together with what followed it', async () => {
    const one = await open(redis.url, { timeoutMs: 50 });
    await one.cached(account);
    redis.signal('SIGSTOP');
    expect(await one.write(account, 51n)).toBe(2n);
    // Others write on meanwhile.
    database.versions.set(cacheKey(account), 9n);
    redis.signal('SIGCONT');
    const other = await open(redis.url);
    await until('what was in the socket has been run', async () => {
      const fields = await other.fields(account);
      return !('f:51' in fields) && fields.ver !== '1';
    });
    expect((await other.cached(account))?.version).toBe(9n);
  });
});
