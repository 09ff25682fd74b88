import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readBalances } from '#ledger/accounts/balance-store.js';
import { type BalanceFences, type FencedGroup, NO_FENCES } from '#ledger/writing/balance-fences.js';
import type { WriterOptions } from '#ledger/writing/writer-options.js';
import { Deadline } from '#platform/deadline.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { COMMIT, cut, cutClient, type Link, simpleQuery, TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

/** The writer reaches PostgreSQL through a proxy; everything else goes directly. */
describe('a commit group meets', () => {
  let on: TestDatabase;
  let proxy: TcpProxy;
  let bystander: Bystander;
  let ledger: TestLedger;
  let merchant: bigint;
  let from: bigint;
  let to: bigint;
  let accounts = 0;
  /** Ambiguous commits that the tests made, by what had happened: the run must have met both. */
  const ambiguous = { committed: 0, voided: 0 };

  beforeAll(async () => {
    on = await freshDatabase();
    bystander = await Bystander.open(on);
  });
  afterAll(async () => {
    await bystander.close();
    await on.drop();
  });
  beforeEach(async () => {
    proxy = await TcpProxy.open(on.runtimeUrl);
    ledger = await TestLedger.open(on, { databaseUrl: proxy.url, lanes: 1 });
    merchant = await ledger.createMerchant();
    [from, to] = [await account(), await account()];
  });
  afterEach(async () => {
    await proxy.close();
    await ledger.close();
    await expectVerified(on);
  });

  const account = (): Promise<bigint> => ledger.createAccount(merchant, { code: `a${accounts++}` });
  const post = (key: string): ReturnType<TestLedger['post']> => ledger.post(merchant, transfer(from, to, 5n), key);
  const reopen = async (options: Partial<WriterOptions>, fences?: BalanceFences): Promise<void> => {
    await ledger.close();
    ledger = await TestLedger.open(on, { databaseUrl: proxy.url, lanes: 1, ...options }, undefined, fences);
  };
  const voidedTokens = async (): Promise<number> =>
    (await bystander.one<{ voided: number }>('SELECT count(*) FILTER (WHERE voided)::int AS voided FROM write_fences'))
      .voided;
  /** The key has one transaction, the account one entry, and the same key answers the same again. */
  const expectOneEffect = async (key: string, id: bigint): Promise<void> => {
    expect(await bystander.effectsOf(key)).toEqual({ keys: 1, transactions: 1 });
    expect(
      (await readBalances(ledger.database, [{ merchantId: merchant, accountId: to }], Deadline.after(5_000)))[0],
    ).toMatchObject({
      version: 1n,
      postedCredits: 5n,
    });
    const again = await post(key);
    expect([postedId(again), again.replayed]).toEqual([id, true]);
  };

  test('a reset after its COMMIT was carried out: settled as committed, answered as posted', async () => {
    let lost: Promise<void> | undefined;
    proxy.onNext(COMMIT, (link, deliver) => {
      lost = TcpProxy.answerLost(link, deliver);
    });
    const before = await voidedTokens();
    const reply = await post('reset after commit');
    await lost;
    // Not by a second try: that would have found the key and said that it replays.
    expect(reply.replayed).toBe(false);
    expect(await voidedTokens()).toBe(before);
    await expectOneEffect('reset after commit', postedId(reply));
    ambiguous.committed += 1;
  });

  test('a reset before its COMMIT arrived: settled as void, tried again under a new token', async () => {
    proxy.onNext(COMMIT, cut);
    const before = await voidedTokens();
    const reply = await post('reset before commit');
    expect(reply.replayed).toBe(false);
    expect(await voidedTokens()).toBe(before + 1);
    await expectOneEffect('reset before commit', postedId(reply));
    ambiguous.voided += 1;
  });

  test('a COMMIT still under way when it asks: it waits for the old backend, which commits', async () => {
    let old: { link: Link; deliver: () => void } | undefined;
    proxy.onNext(COMMIT, (link, deliver) => {
      old = { link, deliver };
    });
    const reply = post('old backend commits');
    await bystander.untilWritten();
    if (old) cutClient(old.link);
    await bystander.untilWaiting(1);
    expect(await bystander.effectsOf('old backend commits')).toEqual({ keys: 0, transactions: 0 });
    old?.deliver();
    const { replayed } = await reply;
    expect(replayed).toBe(false);
    await expectOneEffect('old backend commits', postedId(await reply));
    old?.link.server.destroy();
    ambiguous.committed += 1;
  });

  test('a COMMIT that never arrives when it asks: it waits for the old backend, which rolls back', async () => {
    let old: Link | undefined;
    proxy.onNext(COMMIT, (link) => {
      old = link;
    });
    const before = await voidedTokens();
    const reply = post('old backend rolls back');
    await bystander.untilWritten();
    if (old) cutClient(old);
    await bystander.untilWaiting(1);
    old?.server.destroy();
    expect((await reply).replayed).toBe(false);
    expect(await voidedTokens()).toBe(before + 1);
    await expectOneEffect('old backend rolls back', postedId(await reply));
    ambiguous.voided += 1;
  });

  test('an old backend that is held up before its token: the token is taken, and it can never commit', async () => {
    const key = 'token taken';
    // The sums of late entries are written before the token: there the old backend is made to wait.
    const effectiveAtMs = Date.now() - 60_000;
    const late = (): ReturnType<typeof post> => ledger.post(merchant, transfer(from, to, 5n, { effectiveAtMs }), key);
    await bystander.client.query('BEGIN');
    await bystander.client.query('INSERT INTO late_sums VALUES ($1, $2, 0, $3, 0, 0, 0, 0)', [
      merchant,
      from,
      effectiveAtMs,
    ]);
    let old: Link | undefined;
    proxy.onNext(COMMIT, (link, deliver) => {
      old = link;
      deliver();
    });
    const before = await voidedTokens();
    const reply = late();
    await bystander.untilWaiting(1);
    if (old) cutClient(old);
    // The second try waits for the balances that the old backend still holds.
    await bystander.untilWaiting(2);
    expect(await voidedTokens()).toBe(before + 1);
    await bystander.release();
    await expectOneEffect(key, postedId(await reply));
    old?.server.destroy();
    ambiguous.voided += 1;
  });

  test('a reset while it asks what became of a group that did not commit: it asks again and is not misled by its own token', async () => {
    proxy.onNext(COMMIT, (link) => {
      cut(link);
      // The answer to the question is lost, the token of whoever asked stays.
      proxy.onNext('INSERT INTO write_fences', (asking, deliver) => {
        void TcpProxy.answerLost(asking, deliver, Buffer.from('INSERT 0 1\0'));
      });
    });
    const before = await voidedTokens();
    const reply = await post('asked twice');
    expect(await voidedTokens()).toBe(before + 1);
    await expectOneEffect('asked twice', postedId(reply));
    ambiguous.voided += 1;
  });

  test('a database that is gone when it asks: database_unavailable, and the key tells what happened', async () => {
    proxy.onNext(COMMIT, (link, deliver) => {
      void TcpProxy.answerLost(link, deliver).then(() => proxy.refuse());
    });
    await expect(post('gone')).rejects.toMatchObject({ code: 'database_unavailable', retryAfterS: 1 });
    expect(await bystander.effectsOf('gone')).toEqual({ keys: 1, transactions: 1 });
    // A process that ends here, between commit and reply, leaves the same: the next one replays.
    const successor = await TestLedger.open(on);
    const replayed = await successor.post(merchant, transfer(from, to, 5n), 'gone');
    expect(replayed.replayed).toBe(true);
    await successor.close();
    proxy.accept();
    await expectOneEffect('gone', postedId(replayed));
  });

  test('its fence is left where nobody knows whether it committed, and taken away where it did not', async () => {
    const ends: string[] = [];
    const end = (name: string) => async () => void ends.push(name);
    const group: FencedGroup = {
      confirmed: true,
      publish: end('published'),
      abandon: end('abandoned'),
      leave: () => ends.push('left'),
    };
    await reopen({}, { ...NO_FENCES, fence: async () => group });
    proxy.onNext(COMMIT, cut);
    await post('voided');
    expect(ends.splice(0)).toEqual(['abandoned', 'published']);
    ambiguous.voided += 1;
    proxy.onNext(COMMIT, (link, deliver) => {
      void TcpProxy.answerLost(link, deliver).then(() => proxy.refuse());
    });
    await expect(post('unknown')).rejects.toMatchObject({ code: 'database_unavailable' });
    expect(ends).toEqual(['left']);
    proxy.accept();
  });

  test('an old backend that outlasts its questions: database_unavailable, no second try beside it', async () => {
    await reopen({ groupTimeoutMs: 2_000, attempts: 2 });
    let old: { link: Link; deliver: () => void } | undefined;
    const tries = proxy.count('lock-balances');
    const hasWritten = `SELECT count(*)::int AS count FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE '%WITH posted AS%'`;
    proxy.onNext(COMMIT, async (link, deliver) => {
      old = { link, deliver };
      // Otherwise the question about its token could come first, and void the group.
      await until('it has written', async () => (await bystander.one<{ count: number }>(hasWritten)).count === 1);
      // A COMMIT that takes long, on a slow disk or waiting for a standby, has no timeout either.
      link.server.write(simpleQuery('SET LOCAL idle_in_transaction_session_timeout = 0'));
      cutClient(link);
    });
    await expect(post('outlasted')).rejects.toMatchObject({ code: 'database_unavailable' });
    expect(tries()).toBe(1);
    old?.deliver();
    const again = await post('outlasted');
    expect(again.replayed).toBe(true);
    await expectOneEffect('outlasted', postedId(again));
    old?.link.server.destroy();
  });

  test('a writer that falls silent in mid-transaction: PostgreSQL ends it in time, and its locks with it', async () => {
    await reopen({ groupTimeoutMs: 1_000, attempts: 1 });
    const tried = new Promise<Link>((resolve) => proxy.onNext('write-group', resolve));
    const stopped = expect(post('silent')).rejects.toMatchObject({ code: 'database_unavailable' });
    // PostgreSQL hears nothing more of it, not even that it has gone.
    const link = await tried;
    cutClient(link);
    const other = await TestLedger.open(on, { groupTimeoutMs: 10_000, attempts: 1 });
    postedId(await other.post(merchant, transfer(from, to, 5n), 'behind it'));
    await Promise.all([stopped, other.close()]);
    link.server.destroy();
    expect(await bystander.effectsOf('silent')).toEqual({ keys: 0, transactions: 0 });
  });

  test('the end of its backend while it waits for a lock: tried again', async () => {
    await bystander.lockBalance(from);
    const reply = post('killed while waiting');
    const [backend] = await bystander.untilWaiting(1);
    await bystander.terminate(backend ?? 0);
    const [next] = await until('a second backend waits', async () => {
      const waiting = await bystander.waiting();
      return waiting.length > 0 && waiting[0] !== backend && waiting;
    });
    expect(next).not.toBe(backend);
    await bystander.release();
    await expectOneEffect('killed while waiting', postedId(await reply));
  });

  test('the end of its backend between its two trips: tried again', async () => {
    let ended: Promise<void> | undefined;
    proxy.onNext('write-group', (_link, deliver) => {
      ended = (async () => {
        const { pid } = await bystander.one<{ pid: number }>(`
          SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'counterfoil-writer'
             AND state = 'idle in transaction'`);
        await bystander.terminate(pid);
        deliver();
      })();
    });
    const reply = await post('killed between trips');
    await ended;
    await expectOneEffect('killed between trips', postedId(reply));
  });

  test('a deadlock that it is the victim of: tried again', async () => {
    const effectiveAtMs = Date.now() - 60_000;
    // The group looks for deadlocks three seconds into its wait, the bystander never.
    const database = new URL(on.ownerUrl).pathname.slice(1);
    await bystander.client.query(`ALTER DATABASE ${database} SET deadlock_timeout = '3s'`);
    await bystander.client.query(`BEGIN; SET LOCAL deadlock_timeout = '100s'`);
    await bystander.client.query(`INSERT INTO idempotency_keys VALUES ($1, 'deadlock', sha256('x'), 201, 1)`, [
      merchant,
    ]);
    const reply = ledger.post(merchant, transfer(from, to, 5n, { effectiveAtMs }), 'deadlock');
    await bystander.untilWaiting(1);
    // The group has written this row and waits for the key; now each waits for the other.
    await bystander.client.query('INSERT INTO late_sums VALUES ($1, $2, 0, $3, 0, 0, 0, 0)', [
      merchant,
      from,
      effectiveAtMs,
    ]);
    await bystander.release();
    await expectOneEffect('deadlock', postedId(await reply));
    await until('PostgreSQL counted the deadlock', async () => {
      const { deadlocks } = await bystander.one<{ deadlocks: number }>(
        'SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()',
      );
      return deadlocks === 1;
    });
  });

  test('a database that stops answering: told by the deadline, no hang, and it recovers by itself', async () => {
    await reopen({ groupTimeoutMs: 500 });
    postedId(await ledger.post(merchant, transfer(to, from, 1n)));
    proxy.stall();
    const started = performance.now();
    const answers = await Promise.allSettled(
      [1, 2, 3].map((index) => ledger.post(merchant, transfer(from, to, 1n), `stalled ${index}`, { timeoutMs: 1_500 })),
    );
    expect(performance.now() - started).toBeLessThan(5_000);
    for (const answer of answers) {
      expect(answer.status === 'rejected' && answer.reason.code).toMatch(/^(deadline_exceeded|database_unavailable)$/);
    }
    proxy.resume();
    const replies = await Promise.all(
      [1, 2, 3].map((index) => ledger.post(merchant, transfer(from, to, 1n), `stalled ${index}`)),
    );
    expect(new Set(replies.map(postedId)).size).toBe(3);
    expect(
      (await readBalances(ledger.database, [{ merchantId: merchant, accountId: to }], Deadline.after(5_000)))[0]
        ?.version,
    ).toBe(4n);
  });

  test('a database that is not there: told at once, and it recovers by itself', async () => {
    proxy.refuse();
    await expect(post('refused')).rejects.toMatchObject({ code: 'database_unavailable' });
    proxy.accept();
    const reply = await post('refused');
    expect(reply.replayed).toBe(false);
    await expectOneEffect('refused', postedId(reply));
  });

  test('resets at any point under load: every acknowledged posting is there once', async () => {
    const wanted = 40;
    let resets = 0;
    const strike = (): void => {
      proxy.onNext(COMMIT, (link, deliver) => {
        resets += 1;
        if (resets % 3 === 0) cut(link);
        else if (resets % 3 === 1) void TcpProxy.answerLost(link, deliver);
        else {
          deliver();
          cut(link);
        }
        if (resets < wanted) strike();
      });
    };
    strike();
    const acknowledged: string[] = [];
    let next = 0;
    const caller = async (): Promise<void> => {
      while (resets < wanted) {
        const key = `load ${next++}`;
        const reply = await ledger.post(merchant, transfer(from, to, 1n), key).catch(() => undefined);
        if (reply && postedId(reply)) acknowledged.push(key);
      }
    };
    await Promise.all([caller(), caller(), caller(), caller()]);
    const { rows } = await bystander.client.query<{ key: string }>(
      `
      SELECT k.key FROM idempotency_keys k JOIN transactions t ON t.id = k.transaction_id WHERE k.merchant_id = $1`,
      [merchant],
    );
    expect(acknowledged.length).toBeGreaterThan(10);
    expect(rows.map(({ key }) => key)).toEqual(expect.arrayContaining(acknowledged));
    expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length);
  });

  test('both kinds of ambiguous COMMIT in this run', () => {
    expect(ambiguous.committed).toBeGreaterThan(0);
    expect(ambiguous.voided).toBeGreaterThan(0);
  });
});
