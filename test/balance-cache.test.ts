import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CacheClient, CacheUnavailable } from '#balances/cache-client.js';
import { type AccountKey, type CachedBalance, cacheKey } from '#balances/cached-balance.js';
import { DatabaseReads } from '#balances/database-reads.js';
import { CacheGuard } from '#balances/guard.js';
import { BalanceReader } from '#balances/read-balance.js';
import { UntoldVersions } from '#balances/untold-versions.js';
import { systemClock } from '#kernel/clock.js';
import { EMPTY_BALANCE } from '#ledger/account.js';
import { Deadline } from '#platform/deadline.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { cutClient, TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';

const TTL = 5_000;
const soon = () => Deadline.after(20_000);

/** A database in memory whose answers can be held back. */
class FakeDatabase {
  readonly versions = new Map<string, bigint>();
  queries = 0;
  accounts = 0;
  #gate: Promise<void> = Promise.resolve();
  #open: () => void = () => undefined;

  hold(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    this.#open = resolve;
  }

  release(): void {
    this.#open();
  }

  readonly load = async (accounts: readonly AccountKey[]): Promise<Map<string, CachedBalance>> => {
    this.queries += 1;
    this.accounts += accounts.length;
    const seen = new Map(
      accounts.flatMap((account) => {
        const version = this.versions.get(cacheKey(account));
        return version === undefined ? [] : [[cacheKey(account), balanceAt(version)] as const];
      }),
    );
    await this.#gate;
    return seen;
  };
}

function balanceAt(version: bigint): CachedBalance {
  return { version, postedDebits: version, postedCredits: 0n, pendingDebits: 0n, pendingCredits: 0n, asOfMs: 1 };
}

interface Process {
  client: CacheClient;
  guard: CacheGuard;
  reader: BalanceReader;
  untold: UntoldVersions;
  reads: DatabaseReads;
}

const opened: Process[] = [];

async function openProcess(
  url: string,
  database: FakeDatabase,
  options: {
    timeoutMs?: number;
    policy?: 'available' | 'strict';
    ttlMs?: number;
    l1MaxAgeMs?: number;
    leaseWaitMs?: number;
    queue?: number;
    earlyRefresh?: number;
  } = {},
): Promise<Process> {
  const ttlMs = options.ttlMs ?? TTL;
  const client = new CacheClient({ url, timeoutMs: options.timeoutMs ?? 2_000 });
  const untold = new UntoldVersions(client, { ttlMs, clock: systemClock });
  const reads = new DatabaseReads(database.load, { concurrency: 4, queue: options.queue ?? 10_000 });
  const reader = new BalanceReader(
    { client, untold, database: reads },
    {
      ttlMs,
      leaseWaitMs: options.leaseWaitMs ?? 10_000,
      l1MaxAgeMs: options.l1MaxAgeMs ?? 0,
      earlyRefresh: options.earlyRefresh ?? 0,
      random: () => 0.5,
    },
  );
  const guard = new CacheGuard(client, untold, { policy: options.policy ?? 'available', ttlMs });
  await client.ready();
  const process = { client, guard, reader, untold, reads };
  opened.push(process);
  return process;
}

let redis: PrivateRedis;
let database: FakeDatabase;
let next = 1n;
let account: AccountKey;

beforeAll(async () => {
  redis = await privateRedis();
});
afterAll(async () => {
  for (const { client, untold } of opened) {
    untold.close();
    await client.close();
  }
  await redis.stop();
});
beforeEach(() => {
  database = new FakeDatabase();
  next += 1n;
  account = { merchantId: 7n, accountId: next };
  database.versions.set(cacheKey(account), 1n);
});

const cached = (one: Process, at = account, minVersion?: bigint) =>
  one.reader.read(at, { consistency: 'cached', minVersion, deadline: soon() });

const fieldsOf = async ({ client }: Process) => (await client.hashes([cacheKey(account)])).hashes[0] ?? {};

/** One write, as a process without faults does it. */
async function write(one: Process, token: bigint, at = account): Promise<bigint> {
  const group = await one.guard.fence([at], token, 1_000);
  const version = (database.versions.get(cacheKey(at)) ?? 0n) + 1n;
  database.versions.set(cacheKey(at), version);
  await group.publish([{ ...at, balance: { ...EMPTY_BALANCE, version, postedDebits: version } }]);
  return version;
}

describe('reads', () => {
  test('10,000 reads of one cold key in two processes reach the database once', async () => {
    const processes = [await openProcess(redis.url, database), await openProcess(redis.url, database)];
    const answers: Promise<CachedBalance | undefined>[] = [];
    const thousand = () => {
      for (let count = 0; count < 1_000; count += 1) answers.push(cached(processes[count % 2] as Process));
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
    const one = await openProcess(redis.url, database);
    expect(await cached(one)).toMatchObject({ version: 1n, postedDebits: 1n, source: 'database' });
    expect(await cached(one)).toMatchObject({ version: 1n, postedDebits: 1n, source: 'cache', asOfMs: 1 });
    expect(database.queries).toBe(1);
  });

  test('a published balance is served without any read of the database', async () => {
    const one = await openProcess(redis.url, database);
    await write(one, 11n);
    expect(await cached(one)).toMatchObject({ version: 2n, postedDebits: 2n, source: 'cache' });
    expect(database.queries).toBe(0);
  });

  test('accounts asked for together go in one query and one pipeline', async () => {
    const one = await openProcess(redis.url, database);
    const accounts = Array.from({ length: 50 }, (_, index) => ({
      merchantId: 8n,
      accountId: next * 100n + BigInt(index),
    }));
    for (const at of accounts) database.versions.set(cacheKey(at), 3n);
    const absent = { merchantId: 8n, accountId: 1n };
    const answers = await one.reader.readMany([...accounts, absent], { consistency: 'cached', deadline: soon() });
    expect(answers.map((answer) => answer?.version)).toEqual([...accounts.map(() => 3n), undefined]);
    expect(database).toMatchObject({ queries: 1, accounts: 51 });
  });

  test('a read that began after the query was sent does not take that query’s answer', async () => {
    const one = await openProcess(redis.url, database);
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
    const one = await openProcess(redis.url, database);
    await cached(one);
    const group = await one.guard.fence([account], 21n, 1_000);
    database.versions.set(cacheKey(account), 2n);
    expect(await cached(one)).toMatchObject({ version: 2n, source: 'database' });
    group.leave();
    expect(await fieldsOf(one)).toMatchObject({ ver: '2' });
    expect(await fieldsOf(one)).not.toHaveProperty('val');
  });

  test('min_version goes to the database when the cache is older, and is refused when it does not exist', async () => {
    const one = await openProcess(redis.url, database);
    await cached(one);
    database.versions.set(cacheKey(account), 2n);
    expect(await cached(one, account, 2n)).toMatchObject({ version: 2n, source: 'database' });
    await expect(cached(one, account, 3n)).rejects.toThrow(/min_version/);
  });

  test('a read near the deadline is served at once, and one reader refreshes in the background', async () => {
    const one = await openProcess(redis.url, database, { earlyRefresh: 1e9 });
    await cached(one);
    database.versions.set(cacheKey(account), 2n);
    expect(await cached(one)).toMatchObject({ version: 1n, source: 'cache' });
    await until('the refresh is in the cache', async () => (await fieldsOf(one)).ver === '2');
    expect(one.reader.counts).toMatchObject({ earlyRefreshes: 1, grants: 1 });
    expect(database.queries).toBe(2);
  });

  test('a bounded read may answer from the process, and a default read never does', async () => {
    const one = await openProcess(redis.url, database, { l1MaxAgeMs: 60_000 });
    const bounded = () => one.reader.read(account, { consistency: 'bounded', deadline: soon() });
    await bounded();
    await write(one, 31n);
    expect(await bounded()).toMatchObject({ version: 1n, source: 'process' });
    expect(await cached(one)).toMatchObject({ version: 2n, source: 'cache' });
  });

  test('when a reader dies with its lease, the others wait no longer than their bound', async () => {
    const one = await openProcess(redis.url, database, { leaseWaitMs: 30 });
    await one.client.run([{ script: 'read', account, args: ['somebody-else', TTL, TTL, 0] }]);
    expect(await cached(one)).toMatchObject({ version: 1n, source: 'database' });
    expect(one.reader.counts.leaseWaits).toBeGreaterThan(0);
  });

  test('beyond the queue of the database reads are refused as overloaded, at once', async () => {
    const one = await openProcess(redis.url, database, { queue: 1 });
    database.hold();
    const reads = Array.from({ length: 3 }, (_, index) => {
      const at = { merchantId: 9n, accountId: next * 10n + BigInt(index) };
      database.versions.set(cacheKey(at), 1n);
      return one.reads.read(at, soon());
    });
    await expect(reads[1]).rejects.toMatchObject({ code: 'overloaded', retryAfterS: 1 });
    await expect(reads[2]).rejects.toMatchObject({ code: 'overloaded' });
    database.release();
    await expect(reads[0]).resolves.toMatchObject({ version: 1n });
  });
});

describe('the guard', () => {
  test('a group that rolled back leaves the value and no fence', async () => {
    const one = await openProcess(redis.url, database);
    await cached(one);
    const group = await one.guard.fence([account], 41n, 1_000);
    await group.abandon();
    expect(await cached(one)).toMatchObject({ version: 1n, source: 'cache' });
  });

  test('accounts of the group that did not change are unfenced by the publish', async () => {
    const one = await openProcess(redis.url, database);
    const other = { merchantId: 7n, accountId: account.accountId + 1_000_000n };
    const group = await one.guard.fence([account, other, account], 42n, 1_000);
    await group.publish([{ ...account, balance: { ...EMPTY_BALANCE, version: 2n } }]);
    const { hashes } = await one.client.hashes([cacheKey(account), cacheKey(other)]);
    expect(hashes[0]).toMatchObject({ ver: '2' });
    expect(hashes[0]).not.toHaveProperty('f:42');
    expect(hashes[1]).toEqual({});
  });

  test('a group ends once', async () => {
    const one = await openProcess(redis.url, database);
    const group = await one.guard.fence([account], 43n, 1_000);
    await group.abandon();
    await expect(group.publish([])).rejects.toThrow(/twice/);
  });

  test('what a replay learnt is told before anybody hears of it', async () => {
    const one = await openProcess(redis.url, database);
    await cached(one);
    await one.guard.tell([
      { ...account, version: 3n },
      { ...account, version: 2n },
    ]);
    database.versions.set(cacheKey(account), 3n);
    expect(await cached(one)).toMatchObject({ version: 3n, source: 'database' });
  });
});

describe('a Redis that is not well', () => {
  test('cut off: reads come from the database, writes are acknowledged, and all of it ends by itself', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const one = await openProcess(proxy.url, database);
    await cached(one);
    proxy.refuse();
    expect(await write(one, 51n)).toBe(2n);
    expect(await cached(one)).toMatchObject({ version: 2n, source: 'database' });
    for (let call = 0; call < 20; call += 1) await cached(one);
    expect(one.client.state).toMatchObject({ connected: false });
    expect(one.client.state.breaker).not.toBe('closed');
    proxy.accept();
    await until('the cache serves again', async () => (await cached(one))?.source === 'cache');
    expect(one.client.state).toMatchObject({ breaker: 'closed', connected: true, lastFailure: undefined });
    await proxy.close();
  });

  test('cut off from a Redis that others reach: this process itself never answers less than it knows', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const [cutOff, other] = [await openProcess(proxy.url, database), await openProcess(redis.url, database)];
    await cached(other);
    proxy.refuse();
    await write(cutOff, 52n);
    expect(cutOff.untold.floorOf(account)).toBe(2n);
    // X2: somebody else may still be served the old balance, for less than one TTL.
    expect(await cached(other)).toMatchObject({ version: 1n, source: 'cache' });
    proxy.accept();
    await until('the connection is back', () => cutOff.client.state.connected);
    expect((await cached(cutOff))?.version).toBe(2n);
    await until('it was told after all', async () => (await cached(other))?.version === 2n);
    await proxy.close();
  });

  test('a fence whose answer is lost with its connection is not sent again', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const [one, other] = [await openProcess(proxy.url, database), await openProcess(redis.url, database)];
    const token = 5_300_000_000_053n;
    const sent = proxy.count(String(token));
    proxy.onNext(String(token), (link, deliver) => {
      deliver();
      cutClient(link);
    });
    const group = await one.guard.fence([account], token, 1_000);
    expect(group.confirmed).toBe(false);
    await until('Redis has it all the same', async () => `f:${token}` in (await fieldsOf(other)));
    await until('the connection is back', () => one.client.state.connected);
    expect(sent()).toBe(1);
    await group.publish([{ ...account, balance: { ...EMPTY_BALANCE, version: 2n } }]);
    expect(await fieldsOf(other)).toMatchObject({ ver: '2' });
    await proxy.close();
  });

  test('stalled: nobody waits longer than the deadline of the call, and the breaker then asks nobody', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const one = await openProcess(proxy.url, database, { timeoutMs: 40 });
    await cached(one);
    proxy.stall();
    const startedAt = performance.now();
    const group = await one.guard.fence([account], 53n, 1_000);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(group.confirmed).toBe(false);
    await group.abandon();
    await until('the breaker opens', async () => {
      await cached(one);
      return one.client.state.breaker !== 'closed';
    });
    expect(one.client.state.timeouts).toBeGreaterThan(0);
    await expect(one.client.run([{ script: 'invalidate', account, args: [1, TTL] }])).rejects.toThrow(CacheUnavailable);
    proxy.resume();
    await until('the cache serves again', async () => (await cached(one))?.source === 'cache');
    await proxy.close();
  });

  test('restarted empty: the scripts are loaded again and the first read fills', async () => {
    const one = await openProcess(redis.url, database);
    await cached(one);
    await redis.restart();
    await until('the cache serves again', async () => (await cached(one))?.source === 'cache');
    expect(await write(one, 54n)).toBe(2n);
    expect((await cached(one))?.version).toBe(2n);
  });

  test('scripts that Redis has forgotten are loaded and the call is sent again, for nothing had run', async () => {
    const one = await openProcess(redis.url, database);
    await one.client.run([{ script: 'invalidate', account, args: [1, TTL] }]);
    await (await commandsOf(redis)).script('FLUSH');
    expect(await write(one, 55n)).toBe(2n);
    expect(await cached(one)).toMatchObject({ version: 2n, source: 'cache' });
  });

  test('without memory: the write goes on unfenced, the old value is gone, and the breaker stays closed', async () => {
    const one = await openProcess(redis.url, database);
    await cached(one);
    const commands = await commandsOf(redis);
    await commands.config('SET', 'maxmemory', '1');
    try {
      for (let token = 56n; token < 80n; token += 1n) {
        const version = await write(one, token);
        expect((await cached(one))?.version).toBe(version);
      }
      expect(one.client.state).toMatchObject({ breaker: 'closed' });
      expect(one.client.state.refusals).toBeGreaterThan(0);
      expect(one.guard.counts.unfenced).toBe(24);
    } finally {
      await commands.config('SET', 'maxmemory', '128mb');
    }
  });

  test('read-only: the breaker opens, and reads come from the database', async () => {
    const one = await openProcess(redis.url, database);
    await cached(one);
    const commands = await commandsOf(redis);
    await commands.replicaof('127.0.0.1', '1');
    try {
      await until('the breaker opens', async () => {
        expect(await cached(one)).toMatchObject({ version: 1n, source: 'database' });
        return one.client.state.breaker !== 'closed';
      });
    } finally {
      await commands.replicaof('NO', 'ONE');
    }
    await until('the cache serves again', async () => (await cached(one))?.source === 'cache');
  });

  test('strict: an acknowledgement that could not be published waits until no old balance is left', async () => {
    const proxy = await TcpProxy.open(redis.url);
    const ttlMs = 400;
    const one = await openProcess(proxy.url, database, { policy: 'strict', ttlMs });
    await cached(one);
    const group = await one.guard.fence([account], 90n, 1_000);
    database.versions.set(cacheKey(account), 2n);
    proxy.refuse();
    const startedAt = performance.now();
    await group.publish([{ ...account, balance: { ...EMPTY_BALANCE, version: 2n } }]);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(ttlMs - 1);
    await proxy.close();
  });
});

const admins: import('ioredis').Redis[] = [];
afterAll(() => {
  for (const admin of admins) admin.disconnect();
});
async function commandsOf({ url }: PrivateRedis): Promise<import('ioredis').Redis> {
  const { Redis } = await import('ioredis');
  const admin = new Redis(url);
  admins.push(admin);
  return admin;
}
