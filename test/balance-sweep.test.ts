import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CacheClient } from '#balances/cache-client.js';
import { type AccountKey, cacheKey } from '#balances/cached-balance.js';
import { DatabaseReads } from '#balances/database-reads.js';
import { CacheFences } from '#balances/fences.js';
import { loadBalances } from '#balances/load-balances.js';
import { PendingInvalidations } from '#balances/pending-invalidations.js';
import { BalanceReader } from '#balances/read-balance.js';
import { Sweeper } from '#balances/sweeper.js';
import { systemClock } from '#kernel/clock.js';
import { purgeWriteFences } from '#ledger/duties/purge.js';
import { Deadline } from '#platform/deadline.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { until } from './support/until.js';

const TTL = 60_000;
const DAY_MS = 24 * 3_600_000;

let on: TestDatabase;
let ledger: TestLedger;
let redis: PrivateRedis;
let client: CacheClient;
let pending: PendingInvalidations;
let fences: CacheFences;
let sweeper: Sweeper;
let reader: BalanceReader;
let reads: DatabaseReads;
let merchantId: bigint;
let account: AccountKey;
let other: AccountKey;

beforeAll(async () => {
  [on, redis] = await Promise.all([freshDatabase(), privateRedis()]);
  ledger = await TestLedger.open(on);
  client = new CacheClient({ url: redis.url, timeoutMs: 2_000 });
  await client.ready();
  pending = new PendingInvalidations(client, { ttlMs: TTL, policy: 'available', clock: systemClock });
  fences = new CacheFences(client, pending, { ttlMs: TTL });
  sweeper = new Sweeper(client, ledger.database, { ttlMs: TTL, sweepAfterMs: 0 });
  reads = new DatabaseReads((accounts, deadline) => loadBalances(ledger.database, accounts, deadline), {
    concurrency: 2,
    queue: 100,
  });
  reader = new BalanceReader(
    { client, pending, database: reads, sweeper },
    { ttlMs: TTL, leaseWaitMs: 100, l1MaxAgeMs: 0, earlyRefresh: 0 },
  );
  merchantId = await ledger.createMerchant();
});
beforeEach(async () => {
  const code = () => `a:${ledger.ids.next()}`;
  account = { merchantId, accountId: await ledger.createAccount(merchantId, { code: code() }) };
  other = { merchantId, accountId: await ledger.createAccount(merchantId, { code: code() }) };
});
afterAll(async () => {
  pending.close();
  await sweeper.idle();
  await client.close();
  await ledger.close();
  await redis.stop();
  await on.drop();
});

const read = () => reader.read(account, { consistency: 'cached', deadline: Deadline.after(5_000) });
const fields = async () => (await client.hashes([cacheKey(account)])).hashes[0];
const fate = (token: bigint) => sweeper.sweep(String(token), [account]);

/** Fenced by a writer that is never heard of again. */
async function fenceAndDie(): Promise<bigint> {
  const token = ledger.ids.next();
  (await fences.fence([account], token, 1_000)).leave();
  return token;
}

async function commitToken(token: bigint): Promise<void> {
  await ledger.database.transaction('platform', Deadline.after(5_000), (transaction) =>
    transaction.query({ text: 'INSERT INTO write_fences (token) VALUES ($1)', values: [token] }),
  );
}

describe('a sweep', () => {
  test('of a writer that never committed removes its fence, keeps the value, and bars the writer for ever', async () => {
    await read();
    const token = await fenceAndDie();
    expect(await fate(token)).toBe('never commits');
    expect(await read()).toMatchObject({ source: 'cache', version: 0n });
    await expect(commitToken(token)).rejects.toMatchObject({ code: '23505' });
  });

  test('of a writer that committed drops the older value, and the next read fills the new one', async () => {
    await read();
    const token = await fenceAndDie();
    await commitToken(token);
    await ledger.post(merchantId, transfer(account.accountId, other.accountId, 5n));
    expect(await fate(token)).toBe('committed');
    expect(await fields()).toEqual({});
    expect(await read()).toMatchObject({ source: 'database', version: 1n, postedDebits: 5n });
    expect(await read()).toMatchObject({ source: 'cache', version: 1n, postedDebits: 5n });
  });

  test('a second time finds the same fate', async () => {
    const token = await fenceAndDie();
    expect(await fate(token)).toBe('never commits');
    expect(await fate(token)).toBe('never commits');
  });

  test('waits for a writer whose row is inserted and not committed, and finds it committed', async () => {
    const token = await fenceAndDie();
    const swept = await asAdmin(on.ownerUrl, async (writer) => {
      await writer.query('BEGIN');
      await writer.query('INSERT INTO write_fences (token) VALUES ($1)', [token]);
      const sweeping = fate(token);
      await asAdmin(on.ownerUrl, (admin) =>
        until('the sweeper waits for the writer', async () => {
          const { rows } = await admin.query(
            `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO write_fences%' AND datname = current_database()`,
          );
          return rows.length > 0;
        }),
      );
      expect(await fields()).toHaveProperty(`f:${token}`);
      await writer.query('COMMIT');
      return sweeping;
    });
    expect(swept).toBe('committed');
    expect(await fields()).toEqual({});
  });

  test('below the horizon of the purge counts as committed: an older value is not trusted', async () => {
    await read();
    const token = await fenceAndDie();
    await purgeWriteFences(ledger.database, Date.now() + 2 * DAY_MS);
    expect(await fate(token)).toBe('committed');
    expect(await fields()).not.toHaveProperty(`f:${token}`);
    await asAdmin(on.ownerUrl, (admin) => admin.query('UPDATE write_fence_horizon SET token = 0'));
  });

  test('a round finds every old fence of all accounts', async () => {
    const tokens = [await fenceAndDie(), await fenceAndDie()];
    expect(await sweeper.round()).toBe(2);
    for (const token of tokens) expect(await fields()).not.toHaveProperty(`f:${token}`);
  });

  test('a round leaves fences that are young', async () => {
    const patient = new Sweeper(client, ledger.database, { ttlMs: TTL, sweepAfterMs: 60_000 });
    const token = await fenceAndDie();
    expect(await patient.round()).toBe(0);
    expect(await fields()).toHaveProperty(`f:${token}`);
    await fate(token);
  });

  test('a read that meets an old fence answers from the database and has it swept', async () => {
    await fenceAndDie();
    expect(await read()).toMatchObject({ source: 'database', version: 0n });
    await sweeper.idle();
    await read();
    expect(await read()).toMatchObject({ source: 'cache' });
  });
});

describe('the fences around real postings', () => {
  test('after each acknowledged write every reader is served that version, most of them from the cache', async () => {
    await Promise.all([read(), read()]);
    for (let round = 1n; round <= 20n; round += 1n) {
      const token = ledger.ids.next();
      const group = await fences.fence([account, other], token, 1_000);
      await ledger.post(merchantId, transfer(account.accountId, other.accountId, 1n));
      const balances = await loadBalances(ledger.database, [account, other], Deadline.after(5_000));
      await group.publish(
        [account, other].map((one) => {
          const balance = balances.get(cacheKey(one));
          if (!balance) throw new Error('no balance');
          return { ...one, balance: { ...balance, lastTransactionId: 0n, closed: false } };
        }),
      );
      expect(await read()).toMatchObject({ version: round, postedDebits: round, source: 'cache' });
    }
  });
});
