import { Writable } from 'node:stream';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CacheClient } from '#balances/cache-client.js';
import { type AccountKey, cacheKey } from '#balances/cached-balance.js';
import { verifyCache } from '#balances/checks.js';
import { DatabaseReads } from '#balances/database-reads.js';
import { CacheFences } from '#balances/fences.js';
import { loadBalances } from '#balances/load-balances.js';
import { BalanceMonitor } from '#balances/monitor.js';
import { PendingInvalidations } from '#balances/pending-invalidations.js';
import { BalanceReader } from '#balances/read-balance.js';
import { systemClock } from '#kernel/clock.js';
import { Deadline } from '#platform/deadline.js';
import { createLogger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';

const TTL = 60_000;

let on: TestDatabase;
let ledger: TestLedger;
let redis: PrivateRedis;
let raw: Redis;
let client: CacheClient;
let pending: PendingInvalidations;
let fences: CacheFences;
let reader: BalanceReader;
let merchantId: bigint;
let account: AccountKey;
let other: AccountKey;
const logged: Record<string, unknown>[] = [];
const logger = createLogger(
  { level: 'error', service: 'test' },
  new Writable({
    write: (chunk, _encoding, done) => {
      logged.push(JSON.parse(String(chunk)));
      done();
    },
  }),
);

beforeAll(async () => {
  [on, redis] = await Promise.all([freshDatabase(), privateRedis()]);
  client = new CacheClient({ url: redis.url, timeoutMs: 2_000 });
  raw = new Redis(redis.url);
  await client.ready();
  pending = new PendingInvalidations(client, { ttlMs: TTL, policy: 'available', clock: systemClock });
  fences = new CacheFences(client, pending, { ttlMs: TTL });
  ledger = await TestLedger.open(on, {}, systemClock, fences);
  const reads = new DatabaseReads((accounts, deadline) => loadBalances(ledger.database, accounts, deadline), {
    concurrency: 2,
    queue: 100,
  });
  reader = new BalanceReader(
    { client, pending, database: reads },
    { ttlMs: TTL, leaseWaitMs: 100, l1MaxAgeMs: 0, earlyRefresh: 0 },
  );
  merchantId = await ledger.createMerchant();
});
beforeEach(async () => {
  logged.length = 0;
  await raw.flushall();
  const code = () => `a:${ledger.ids.next()}`;
  account = { merchantId, accountId: await ledger.createAccount(merchantId, { code: code() }) };
  other = { merchantId, accountId: await ledger.createAccount(merchantId, { code: code() }) };
  await post();
  await post();
  expect(await read()).toMatchObject({ version: 2n, source: 'cache' });
});
afterAll(async () => {
  pending.close();
  raw.disconnect();
  await client.close();
  await ledger.close();
  await redis.stop();
  await on.drop();
});

const post = () => ledger.post(merchantId, transfer(account.accountId, other.accountId, 5n));
const read = () => reader.read(account, { consistency: 'cached', deadline: Deadline.after(5_000) });
const monitorOf = (confirmAfterMs = 20) =>
  new BalanceMonitor({ client, database: ledger.database, logger }, { ttlMs: TTL, sample: 1_000, confirmAfterMs });

/** What a superuser does at night: no trigger, no guard, no event. */
const behindTheBack = (change: string) =>
  asAdmin(on.ownerUrl, async (admin) => {
    await admin.query('BEGIN');
    await admin.query(`SET LOCAL session_replication_role = 'replica'`);
    await admin.query(`UPDATE balances SET ${change} WHERE merchant_id = $1 AND account_id = $2`, [
      merchantId,
      account.accountId,
    ]);
    await admin.query('COMMIT');
  });

/** Totals of which no two are alike: 17 and 5 posted, 3 and 2 held, as the postings say. */
async function postFourTotals(): Promise<void> {
  const { accountId } = account;
  for (const [from, to, amount, pending] of [
    [accountId, other.accountId, 7n, false],
    [other.accountId, accountId, 5n, false],
    [accountId, other.accountId, 3n, true],
    [other.accountId, accountId, 2n, true],
  ] as const) {
    postedId(await ledger.post(merchantId, transfer(from, to, amount, { pending })));
  }
}
const FOUR_TOTALS = { version: 6n, postedDebits: 17n, postedCredits: 5n, pendingDebits: 3n, pendingCredits: 2n };

/** Fills the cache as somebody would whose columns have changed places. */
async function fillSwapped(): Promise<void> {
  await postFourTotals();
  await raw.flushall();
  const swapped = new DatabaseReads(
    async (accounts, deadline) => {
      const balances = await loadBalances(ledger.database, accounts, deadline);
      for (const [key, balance] of balances) {
        const { pendingDebits, pendingCredits } = balance;
        balances.set(key, { ...balance, pendingDebits: pendingCredits, pendingCredits: pendingDebits });
      }
      return balances;
    },
    { concurrency: 2, queue: 100 },
  );
  const wrong = new BalanceReader(
    { client, pending, database: swapped },
    { ttlMs: TTL, leaseWaitMs: 100, l1MaxAgeMs: 0, earlyRefresh: 0 },
  );
  await wrong.read(account, { consistency: 'cached', deadline: Deadline.after(5_000) });
}

const FAULT_LINE = {
  healed: true,
  level: expect.anything(),
  msg: 'the cache served a balance that is not the ledger’s',
};

test('the cache is filled from PostgreSQL with each total in its place', async () => {
  await postFourTotals();
  await raw.flushall();
  expect(await read()).toMatchObject({ ...FOUR_TOTALS, source: 'database' });
  expect(await read()).toMatchObject({ ...FOUR_TOTALS, source: 'cache' });
});

describe('verify', () => {
  const verified = () => verifyCache(on.runtimeUrl, redis.url);

  test('counts what is cached and finds nothing wrong with it, as the runtime role and as the owner alike', async () => {
    const expected = { name: expect.stringMatching(/^I5/), counted: 2n, offenders: [] };
    expect(await verified()).toEqual(expected);
    expect(await verifyCache(on.ownerUrl, redis.url)).toEqual(expected);
    await raw.del(cacheKey(other));
    expect(await verified()).toMatchObject({ counted: 1n, offenders: [] });
  });

  test.each([
    ['other totals', async () => void (await raw.hset(cacheKey(account), 'val', `11 0 0 0 ${Date.now()}`)), 'corrupt'],
    ['held debits and credits swapped', fillSwapped, 'corrupt'],
    ['an older version', () => behindTheBack('version = version + 1'), 'stale'],
    ['a version that never was', () => behindTheBack('version = version - 1'), 'ahead'],
  ])('names an account that is cached with %s, and leaves it as it is', async (_, plant, verdict) => {
    await plant();
    const before = await raw.hgetall(cacheKey(account));
    const { offenders } = await verified();
    expect(offenders).toEqual([expect.stringContaining(`account ${account.accountId}: ${verdict}: `)]);
    expect(await raw.hgetall(cacheKey(account))).toEqual(before);
  });

  test('looks at every account of a cache that has many', async () => {
    const pipeline = raw.pipeline();
    for (let accountId = 1n; accountId <= 450n; accountId += 1n)
      pipeline.hset(cacheKey({ merchantId, accountId }), { ver: '1', val: '0 0 0 0 1', die: Date.now() + TTL });
    await pipeline.exec();
    const { counted, offenders } = await verified();
    expect([counted, offenders.length]).toEqual([452n, 20]);
  });
});

describe('the monitor', () => {
  test('finds a cache that is filled with totals in each other’s places', async () => {
    await fillSwapped();
    const monitor = monitorOf();
    expect(await monitor.check([account])).toBe(1);
    expect(monitor.counts).toMatchObject({ corrupt: 1, healed: 1 });
    expect(await read()).toMatchObject(FOUR_TOTALS);
    expect(await monitor.check([account])).toBe(0);
    expect(monitor.counts).toMatchObject({ corrupt: 1, fresh: 1 });
  });

  test('counts what is right as fresh, and logs nothing', async () => {
    const monitor = monitorOf();
    expect(await monitor.round()).toBe(0);
    expect(monitor.counts).toMatchObject({ fresh: 2, stale: 0, ahead: 0, corrupt: 0, rounds: 1, healed: 0 });
    expect(logged).toEqual([]);
  });

  test('looks at accounts of the ledger too, of which the cache knows nothing', async () => {
    await raw.flushall();
    const monitor = monitorOf();
    expect(await monitor.round()).toBe(0);
    expect(monitor.counts.absent).toBeGreaterThan(0);
    expect(monitor.counts.fresh).toBe(0);
  });

  test('finds, logs with the last events, and heals what a superuser changed behind the cache’s back', async () => {
    await behindTheBack('version = version + 1, posted_debits = posted_debits + 7');
    expect(await read()).toMatchObject({ version: 2n, postedDebits: 10n, source: 'cache' });
    const monitor = monitorOf();
    expect(await monitor.round()).toBe(1);
    expect(monitor.counts).toMatchObject({ stale: 1, healed: 1, ahead: 0, corrupt: 0 });
    expect(logged).toMatchObject([
      {
        ...FAULT_LINE,
        verdict: 'stale',
        merchant_id: String(merchantId),
        account_id: String(account.accountId),
        cache_version: '2',
        ledger_version: '3',
        last_events: [
          { type: 'transaction.posted', account_version: '2' },
          { type: 'transaction.posted', account_version: '1' },
        ],
      },
    ]);
    expect(await read()).toMatchObject({ version: 3n, postedDebits: 17n, source: 'database' });
    expect(await read()).toMatchObject({ version: 3n, postedDebits: 17n, source: 'cache' });
    expect(await monitor.round()).toBe(0);
  });

  test('finds and heals a version that the ledger does not have', async () => {
    await behindTheBack('version = version - 1, posted_debits = posted_debits - 5');
    const monitor = monitorOf();
    expect(await monitor.round()).toBe(1);
    expect(monitor.counts).toMatchObject({ ahead: 1, healed: 1, stale: 0 });
    expect(logged).toMatchObject([{ ...FAULT_LINE, verdict: 'ahead', cache_version: '2', ledger_version: '1' }]);
    expect(await read()).toMatchObject({ version: 1n, postedDebits: 5n, source: 'database' });
    expect(await read()).toMatchObject({ version: 1n, postedDebits: 5n, source: 'cache' });
  });

  test('finds and heals other totals under the same version', async () => {
    await behindTheBack('posted_debits = posted_debits + 1');
    const monitor = monitorOf();
    expect(await monitor.round()).toBe(1);
    expect(monitor.counts).toMatchObject({ corrupt: 1, healed: 1 });
    expect(logged).toMatchObject([{ ...FAULT_LINE, verdict: 'corrupt', cache_version: '2', ledger_version: '2' }]);
    expect(await read()).toMatchObject({ version: 2n, postedDebits: 11n, source: 'database' });
    expect(await read()).toMatchObject({ version: 2n, postedDebits: 11n, source: 'cache' });
  });

  test.each([
    ['value', { val: 'nonsense' }],
    ['version', { ver: 'nonsense' }],
  ])('finds and heals a %s that nobody here wrote', async (_, fields) => {
    await raw.hset(cacheKey(account), fields);
    const monitor = monitorOf();
    expect(await monitor.round()).toBe(1);
    expect(monitor.counts).toMatchObject({ corrupt: 1, healed: 1 });
    expect(await read()).toMatchObject({ version: 2n, source: 'database' });
    expect(await read()).toMatchObject({ version: 2n, source: 'cache' });
  });

  test('a wrong value takes an older lease with it: what that reader brings is not installed', async () => {
    await raw.hset(cacheKey(account), 'lease', `early ${Date.now()}`);
    await behindTheBack('version = version - 1, posted_debits = posted_debits - 5');
    expect(await monitorOf().round()).toBe(1);
    expect(await client.call({ script: 'fill', account, args: ['early', 1n, '5 0 0 0 1', TTL] })).toBe(0);
    expect(await raw.exists(cacheKey(account))).toBe(0);
    expect(await read()).toMatchObject({ version: 1n, source: 'database' });
  });

  test('a heal that comes late spares a value that was published meanwhile, and a writer at work', async () => {
    const { ver = '', val = '' } = await raw.hgetall(cacheKey(account));
    const heal = () => client.call({ script: 'heal', account, args: [ver, val] });
    const group = await fences.fence([account], ledger.ids.next(), 1_000);
    expect(await heal()).toBe(0);
    await group.abandon();
    await post();
    expect(await heal()).toBe(0);
    expect(await read()).toMatchObject({ version: 3n, postedDebits: 15n, source: 'cache' });
  });

  test.each(['posted_debits', 'posted_credits', 'pending_debits', 'pending_credits'])(
    'finds other %s under the same version',
    async (total) => {
      await behindTheBack(`${total} = ${total} + 1`);
      const monitor = monitorOf();
      expect(await monitor.check([account])).toBe(1);
      expect(monitor.counts).toMatchObject({ corrupt: 1 });
    },
  );

  test('counts a value that has died as absent, whatever it says', async () => {
    await behindTheBack('version = version + 1');
    await raw.hset(cacheKey(account), 'die', Date.now() - 1);
    const monitor = monitorOf();
    expect(await monitor.check([account])).toBe(0);
    expect(monitor.counts).toMatchObject({ absent: 1, stale: 0, suspected: 0 });
  });

  test('counts what serves nothing as fenced and absent', async () => {
    const group = await fences.fence([account], ledger.ids.next(), 1_000);
    await raw.del(cacheKey(other));
    const monitor = monitorOf();
    expect(await monitor.check([account, other])).toBe(0);
    expect(monitor.counts).toMatchObject({ fenced: 1, absent: 1, fresh: 0 });
    await group.abandon();
  });

  test('a write between each look and its comparison is no fault: only what was committed before the look counts', async () => {
    const racing: Pick<Database, 'read'> = {
      read: async (scope, deadline, query) => {
        if (query.name === 'ledger-balances') await post();
        return ledger.database.read(scope, deadline, query);
      },
    };
    const monitor = new BalanceMonitor(
      { client, database: racing as Database, logger },
      { ttlMs: TTL, sample: 2, confirmAfterMs: 1 },
    );
    expect(await monitor.check([account])).toBe(0);
    expect(monitor.counts).toMatchObject({ suspected: 1, fresh: 1, stale: 0 });
  });

  test('does not take writers at work for a fault, although their writes come between its two reads', async () => {
    const monitor = monitorOf(1);
    let working = true;
    let posts = 0;
    const work = async (): Promise<void> => {
      while (working) {
        await post();
        await read();
        posts += 1;
      }
    };
    const workers = Promise.all(Array.from({ length: 4 }, work));
    const hasSeenAll = async () => {
      expect(await monitor.check([account, other])).toBe(0);
      const { fresh, fenced, suspected } = monitor.counts;
      return posts >= 200 && fresh > 0 && fenced > 0 && suspected >= 3;
    };
    // Without a pause: a write comes between its two reads now and then only.
    const met = Deadline.after(50_000);
    try {
      while (!(await hasSeenAll())) expect(met.expired).toBe(false);
    } finally {
      working = false;
      await workers;
    }
    const { stale, ahead, corrupt } = monitor.counts;
    expect({ stale, ahead, corrupt }).toEqual({ stale: 0, ahead: 0, corrupt: 0 });
    expect(logged).toEqual([]);
  });
});
