import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Clock } from '#kernel/clock.js';
import { SnowflakeGenerator, SnowflakeRefused, snowflakeTimeMs } from '#kernel/snowflake.js';
import { Database } from '#platform/postgres.js';
import { PostgresWorkerLease } from '#platform/worker-lease.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { expectVerified } from './support/verified.js';

/** The machine's clock, put forward or back. */
class ShiftedClock implements Clock {
  constructor(public shiftMs = 0) {}
  now = (): number => Date.now() + this.shiftMs;
  monotonic = (): number => performance.now();
}

describe('worker leases', () => {
  let on: TestDatabase;
  let databases: Database[];

  beforeAll(async () => {
    on = await freshDatabase();
    databases = Array.from(
      { length: 5 },
      () => new Database(on.runtimeUrl, { poolSize: 4, connectTimeoutMs: 20_000, applicationName: 'leases' }),
    );
  });
  afterAll(async () => {
    await Promise.all(databases.map((database) => database.close()));
    await on.drop();
  });
  beforeEach(async () => {
    // Leases renew themselves by a timer; here they do so when the test says.
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    await sql('DELETE FROM worker_leases');
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const sql = (text: string): Promise<unknown> => asAdmin(on.ownerUrl, (admin) => admin.query(text));
  const acquire = (index = 0, clock?: Clock): Promise<PostgresWorkerLease> =>
    PostgresWorkerLease.acquire(databases[index % databases.length] as Database, clock);
  /** All worker ids but this many are held by others for an hour. */
  const leaveFree = (count: number): Promise<unknown> =>
    sql(`INSERT INTO worker_leases SELECT n, gen_random_uuid(), now() + interval '1 hour', now() + interval '1 hour'
           FROM generate_series(0, ${1_023 - count}) n`);
  const expire = (workerId: number): Promise<unknown> =>
    sql(`UPDATE worker_leases SET expires_at = now() - interval '1 second' WHERE worker_id = ${workerId}`);

  test('50 processes that start at once hold 50 worker ids', async () => {
    const leases = await Promise.all(Array.from({ length: 50 }, (_, index) => acquire(index)));
    expect(new Set(leases.map((lease) => lease.workerId)).size).toBe(50);
  });

  test('one free worker id goes to one of many', async () => {
    await leaveFree(1);
    const claims = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => acquire(index)));
    const won = claims.flatMap((claim) => (claim.status === 'fulfilled' ? [claim.value.workerId] : []));
    expect(won).toEqual([1_023]);
    const lost = claims.flatMap((claim) => (claim.status === 'rejected' ? [String(claim.reason)] : []));
    expect(new Set(lost.map((reason) => /all 1,024 worker ids are leased/.test(reason)))).toEqual(new Set([true]));
  });

  test('an expired lease is not given away while its holder may still issue ids', async () => {
    await leaveFree(1);
    const holder = await acquire();
    await expire(holder.workerId);
    expect(holder.issuableUntilMs()).toBeGreaterThan(Date.now());
    await expect(acquire(1)).rejects.toThrow(/all 1,024/);
    expect(new SnowflakeGenerator(new ShiftedClock(), holder).next()).toBeGreaterThan(0n);
  });

  test('a lease that is renewed is not given away, though its holder’s clock is a minute behind', async () => {
    await leaveFree(1);
    const holder = await acquire(0, new ShiftedClock(-60_000));
    await expect(acquire(1)).rejects.toThrow(/all 1,024/);
    await expire(holder.workerId);
    await holder.renew();
    await expect(acquire(1)).rejects.toThrow(/all 1,024/);
  });

  test('a holder that froze and its successor issue disjoint ids; thawed, it stops until it has another lease', async () => {
    await leaveFree(1);
    const frozenClock = new ShiftedClock(-60_000);
    const frozen = await acquire(0, frozenClock);
    const frozenIds = new SnowflakeGenerator(frozenClock, frozen, 60_000);
    const before = Array.from({ length: 6_000 }, () => frozenIds.next());
    await expire(frozen.workerId);
    const successor = await acquire(1);
    expect(successor.workerId).toBe(frozen.workerId);
    const successorIds = new SnowflakeGenerator(new ShiftedClock(), successor);
    const after = Array.from({ length: 6_000 }, () => successorIds.next());
    expect(new Set([...before, ...after]).size).toBe(12_000);
    expect(before.at(-1)).toBeLessThan(after[0] as bigint);

    frozenClock.shiftMs = 0;
    expect(() => frozenIds.next()).toThrow(SnowflakeRefused);
    await expect(frozen.renew()).rejects.toThrow(/all 1,024/);
    expect(() => frozenIds.next()).toThrow(SnowflakeRefused);
    await sql('DELETE FROM worker_leases WHERE worker_id = 7');
    await frozen.renew();
    expect(frozen.workerId).toBe(7);
    const later = Array.from({ length: 100 }, () => frozenIds.next());
    expect(later[0]).toBeGreaterThan(before.at(-1) as bigint);
    expect(new Set([...before, ...after, ...later]).size).toBe(12_100);
  });

  test('a lost lease is noticed by the next renewal, which takes another one', async () => {
    const lease = await acquire();
    const lost = lease.workerId;
    const clock = new ShiftedClock();
    const ids = new SnowflakeGenerator(clock, lease);
    const issued = ids.next();
    await sql(`UPDATE worker_leases SET holder = gen_random_uuid() WHERE worker_id = ${lost}`);
    await lease.renew();
    expect(lease.workerId).not.toBe(lost);
    expect(ids.next()).toBeGreaterThan(issued);
  });

  test.each([0, 12_345, -12_345])(
    'a holder never issues beyond what is stored of its lease, after the claim and after a renewal %i ms later by its clock',
    async (shiftMs) => {
      const clock = new ShiftedClock();
      const lease = await acquire(0, clock);
      const stored = () =>
        asAdmin(on.ownerUrl, async (admin) => {
          const text =
            'SELECT (extract(epoch FROM issuable_until) * 1000)::float8 AS until FROM worker_leases WHERE worker_id = $1';
          return (await admin.query<{ until: number }>(text, [lease.workerId])).rows[0]?.until;
        });
      const claimed = lease.issuableUntilMs();
      expect(claimed).toBe(await stored());
      clock.shiftMs = shiftMs;
      await lease.renew();
      expect(lease.issuableUntilMs()).toBe(await stored());
      if (shiftMs < 0) expect(lease.issuableUntilMs()).toBe(claimed);
      else expect(lease.issuableUntilMs()).toBeGreaterThanOrEqual(claimed + shiftMs);
    },
  );

  test('a released lease issues no more', async () => {
    const lease = await acquire();
    const ids = new SnowflakeGenerator(new ShiftedClock(), lease);
    ids.next();
    await lease.release();
    expect(() => ids.next()).toThrow(SnowflakeRefused);
  });

  test('a lease whose database cannot be reached runs out', async () => {
    const clock = new ShiftedClock();
    const away = new Database(on.runtimeUrl, { poolSize: 1, connectTimeoutMs: 1_000, applicationName: 'away' });
    const lease = await PostgresWorkerLease.acquire(away, clock);
    const ids = new SnowflakeGenerator(clock, lease);
    ids.next();
    await away.close();
    await expect(lease.renew()).rejects.toThrow();
    clock.shiftMs = 29_000;
    ids.next();
    clock.shiftMs = 31_000;
    expect(() => ids.next()).toThrow(SnowflakeRefused);
  });

  test.each([5_000, 3_600_000])(
    "a clock that goes back %i ms after the claim never repeats a predecessor's id",
    async (backMs) => {
      await leaveFree(1);
      const pastClock = new ShiftedClock(-60_000);
      const predecessor = await acquire(0, pastClock);
      const first = new SnowflakeGenerator(pastClock, predecessor).next();
      await expire(predecessor.workerId);
      const clock = new ShiftedClock();
      const lease = await acquire(1, clock);
      expect(lease.workerId).toBe(predecessor.workerId);
      clock.shiftMs = -backMs;
      const ids = new SnowflakeGenerator(clock, lease);
      expect(() => ids.next()).toThrow(SnowflakeRefused);
      clock.shiftMs = -500;
      const next = ids.next();
      expect(snowflakeTimeMs(next)).toBeGreaterThanOrEqual(lease.issuableFromMs);
      expect(next).toBeGreaterThan(first);
    },
  );

  test("a process whose clock is claimed behind an older holder's ids takes another worker id", async () => {
    await leaveFree(2);
    const ahead = await acquire(0, new ShiftedClock(-60_000));
    await expire(ahead.workerId);
    // By this clock the other holder's last milliseconds are still to come.
    const behind = await acquire(1, new ShiftedClock(-120_000));
    expect(behind.workerId).not.toBe(ahead.workerId);
  });

  test("ids ascend along an account although one process' clock is 800 ms behind", async () => {
    const [ahead, behind] = await Promise.all([TestLedger.open(on), TestLedger.open(on, {}, new ShiftedClock(-800))]);
    const merchant = await ahead.createMerchant();
    const [from, to] = [
      await ahead.createAccount(merchant, { code: 'from' }),
      await ahead.createAccount(merchant, { code: 'to' }),
    ];
    const ids: bigint[] = [];
    for (let turn = 0; turn < 40; turn += 1) {
      ids.push(postedId(await (turn % 2 === 0 ? ahead : behind).post(merchant, transfer(from, to, 1n))));
    }
    expect(ids).toEqual([...ids].sort((a, b) => (a < b ? -1 : 1)));
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) =>
        postedId(await (index % 2 === 0 ? ahead : behind).post(merchant, transfer(from, to, 1n))),
      ),
    );
    expect(await expectVerified(on)).toBe(240n);
    await Promise.all([ahead.close(), behind.close()]);
  });

  test('a process whose clock is minutes behind is refused on an account that others moved, and writes nothing', async () => {
    const [right, wrong] = await Promise.all([
      TestLedger.open(on),
      TestLedger.open(on, {}, new ShiftedClock(-300_000)),
    ]);
    const merchant = await right.createMerchant();
    const [from, to] = [
      await right.createAccount(merchant, { code: 'from' }),
      await right.createAccount(merchant, { code: 'to' }),
    ];
    postedId(await right.post(merchant, transfer(from, to, 1n)));
    const before = await expectVerified(on);
    await expect(wrong.post(merchant, transfer(from, to, 1n))).rejects.toMatchObject({ code: 'overloaded' });
    expect(await expectVerified(on)).toBe(before);
    await Promise.all([right.close(), wrong.close()]);
  });
});
