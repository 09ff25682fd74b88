import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readBalances } from '#ledger/accounts/balance-store.js';
import { type BalanceFences, NO_FENCES } from '#ledger/writing/balance-fences.js';
import type { GroupWrites } from '#ledger/writing/group-parameters.js';
import { GroupConnection } from '#ledger/writing/group-store.js';
import { Deadline } from '#platform/deadline.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

describe('the group-commit writer', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let ledger: TestLedger;
  let merchant: bigint;
  let accounts = 0;

  beforeAll(async () => {
    on = await freshDatabase();
    [bystander, ledger] = await Promise.all([Bystander.open(on), TestLedger.open(on)]);
    merchant = await ledger.createMerchant();
  });
  afterAll(async () => {
    await Promise.all([ledger.close(), bystander.close()]);
    await on.drop();
  });
  afterEach(() => expectVerified(on));

  const pair = async (of = merchant): Promise<[bigint, bigint]> => [
    await ledger.createAccount(of, { code: `a${accounts++}` }),
    await ledger.createAccount(of, { code: `a${accounts++}` }),
  ];

  test('a posting moves both balances and raises both versions by one', async () => {
    const [from, to] = await pair();
    const { result, replayed } = await ledger.post(merchant, transfer(from, to, 500n));
    expect(replayed).toBe(false);
    expect(result).toMatchObject({
      posting: { state: { status: 'posted' }, transaction: { amount: 500n, currency: 'EUR' } },
    });
    const [balance] = await readBalances(
      ledger.database,
      [{ merchantId: merchant, accountId: to }],
      Deadline.after(5_000),
    );
    expect(balance).toMatchObject({ postedCredits: 500n, postedDebits: 0n, version: 1n });
  });

  test('64 callers on one account with a floor: exactly as many succeed as the money allows', async () => {
    const funded = await ledger.createAccount(merchant, { code: 'funded', minAvailable: 0n });
    const [source, sink] = await pair();
    await ledger.post(merchant, transfer(source, funded, 40n));
    const replies = await Promise.all(
      Array.from({ length: 64 }, () => ledger.post(merchant, transfer(funded, sink, 1n))),
    );
    expect(replies.filter(({ result }) => 'posting' in result)).toHaveLength(40);
    const refusals = replies.flatMap(({ result }) => ('refusal' in result ? [result.refusal.code] : []));
    expect(new Set(refusals)).toEqual(new Set(['insufficient_funds']));
  });

  test('a second post with the same key returns the first transaction', async () => {
    const [a, b] = await pair();
    const first = await ledger.post(merchant, transfer(a, b, 7n), 'once');
    const second = await ledger.post(merchant, transfer(a, b, 7n), 'once');
    expect(second.replayed).toBe(true);
    expect(second.result).toEqual(first.result);
  });

  test('a group that would leave out a balance commits nothing', async () => {
    const [account] = await pair();
    const connection = await GroupConnection.open(on.runtimeUrl, 5_000);
    const token = ledger.ids.next();
    const closed = { accountId: account, merchantId: merchant };
    const { balances } = await connection.begin({
      merchantIds: [merchant],
      timeoutMs: 5_000,
      lockWaitMs: 5_000,
      accounts: [{ merchantId: merchant, id: account }],
      keys: [],
      parents: [],
      parts: new Map(),
    });
    const balance = { ...balances[0], closed: true } as GroupWrites['balances'][number]['balance'];
    const missing = { ...closed, accountId: 1n, balance };
    const written = connection.writeAndCommit({
      token,
      transactions: [],
      balances: [{ ...closed, balance }, missing],
      states: [],
      keys: [],
      events: [],
      timers: [],
      statements: [],
    });
    await expect(written).rejects.toMatchObject({ code: '23514', constraint: 'balances_all_moved' });
    await connection.close();
    const left = `SELECT (SELECT count(*)::int FROM write_fences WHERE token = $1) AS fences,
                         (SELECT closed FROM balances WHERE account_id = $2) AS closed`;
    expect(await bystander.one(left, [token, account])).toEqual({ fences: 0, closed: false });
  });

  test('a server that has gone silent is not waited for, at the end of a transaction or of its connection', async () => {
    const proxy = await TcpProxy.open(on.runtimeUrl);
    const [left, closed] = await Promise.all([proxy.url, proxy.url].map((url) => GroupConnection.open(url, 5_000)));
    proxy.halfOpen();
    await Promise.all([expect(left?.rollback()).rejects.toThrow('did not answer'), closed?.close()]);
    expect([left?.broken, closed?.broken]).toEqual([true, true]);
    await proxy.close();
  });

  test.each([
    ['23505', 'another transaction has used its key each time'],
    ['40P01', 'it is the victim of a deadlock each time'],
    ['57014', 'a lock is not free in time each time'],
  ])('what no try could commit is database_unavailable (%s: %s)', async (code) => {
    const [from, to] = await pair();
    const hasty = await TestLedger.open(on, { attempts: 1, groupTimeoutMs: code === '57014' ? 300 : 5_000 });
    const database = new URL(on.ownerUrl).pathname.slice(1);
    // The group looks for deadlocks at once, the bystander never.
    await bystander.client.query(`ALTER DATABASE ${database} SET deadlock_timeout = '10ms'`);
    await bystander.client.query(`BEGIN; SET LOCAL deadlock_timeout = '100s'`);
    await bystander.client.query(`INSERT INTO idempotency_keys VALUES ($1, $2, sha256('x'), 201, 1)`, [merchant, code]);
    const reply = hasty.post(merchant, transfer(from, to, 5n), code);
    const refused = expect(reply).rejects.toMatchObject({ code: 'database_unavailable', retryAfterS: 1, status: 503 });
    if (code !== '57014') await bystander.untilWaiting(1);
    // Locked by the group: now each waits for the other.
    if (code === '40P01')
      await bystander.client.query('SELECT 1 FROM balances WHERE account_id = $1 FOR UPDATE', [from]);
    if (code === '23505') await bystander.client.query('COMMIT');
    await refused;
    // The lock is still held: who gave up waits for it in PostgreSQL no longer, either.
    await until('no backend waits', async () => (await bystander.waiting()).length === 0);
    await bystander.release();
    await bystander.client.query('DELETE FROM idempotency_keys WHERE key = $1', [code]);
    expect(await bystander.effectsOf(code)).toEqual({ keys: 0, transactions: 0 });
    await hasty.close();
  });

  test('two merchants may use one key at once', async () => {
    const other = await ledger.createMerchant();
    const [mine, theirs] = [await pair(), await pair(other)];
    const impatient = await TestLedger.open(on, { lanes: 1, idempotencyWaitMs: 1 });
    await bystander.lockBalance(mine[0]);
    const first = impatient.post(merchant, transfer(...mine, 1n), 'shared');
    await bystander.untilWaiting(1);
    let refused: unknown;
    const second = impatient.post(other, transfer(...theirs, 1n), 'shared');
    second.catch((error: unknown) => {
      refused = error;
    });
    await until('the second is in the lane, or refused', () => impatient.writer.waiting === 1 || refused);
    await bystander.release();
    expect((await Promise.all([first, second])).map(({ replayed }) => replayed)).toEqual([false, false]);
    await impatient.close();
  });

  test('two merchants of one group each have a key of their own', async () => {
    const other = await ledger.createMerchant();
    const [mine, theirs] = [await pair(), await pair(other)];
    const told = postedId(await ledger.post(merchant, transfer(...mine, 1n), 'ours'));
    const one = await TestLedger.open(on, { lanes: 1 });
    await bystander.lockBalance(mine[0]);
    const inHand = one.post(merchant, transfer(...mine, 1n));
    await bystander.untilWaiting();
    const [again, first] = [
      one.post(merchant, transfer(...mine, 1n), 'ours'),
      one.post(other, transfer(...theirs, 1n), 'ours'),
    ];
    await until('both wait for the next group', () => one.writer.waiting === 2);
    await bystander.release();
    await inHand;
    expect(postedId(await again)).toBe(told);
    expect([(await again).replayed, (await first).replayed]).toEqual([true, false]);
    expect(postedId(await first)).not.toBe(told);
    await one.close();
  });

  test('a request whose key another one is using is decided after it, and by itself where that one burns no key', async () => {
    const [from, to] = await pair();
    const [blocked, sink] = await pair();
    await bystander.lockBalance(blocked);
    const inHand = ledger.post(merchant, transfer(blocked, sink, 1n));
    await bystander.untilWaiting(1);
    // What PostgreSQL itself rejects burns no key.
    const poison = transfer(from, to, 5n, { description: 'NUL \u0000 byte' });
    const failed = expect(ledger.post(merchant, poison, 'used twice', { body: 1 })).rejects.toMatchObject({
      code: '22021',
    });
    await until('the first waits in the lane', () => ledger.writer.waiting === 1);
    const second = ledger.post(merchant, transfer(from, to, 5n), 'used twice', { body: 2 });
    await bystander.release();
    await Promise.all([inHand, failed]);
    postedId(await second);
  });

  test('a group has at most groupSize commands; a request that has more is one by itself, in turn with the others', async () => {
    const [from, to] = await pair();
    const ids: bigint[] = [];
    const small = await TestLedger.open(on, { lanes: 1, groupSize: 8 });
    const submit = async (size: number): Promise<void> => {
      const context = small.context(merchant);
      const requests = Array.from({ length: size }, () => transfer(from, to, 1n));
      const { commands, accounts } = await small.directory.resolve(context, requests);
      const request = { mode: 'independent', commands, accounts, idempotency: undefined } as const;
      const { outcome } = await small.writer.post(context, request);
      if (outcome.kind !== 'decided') throw new Error(outcome.kind);
      for (const decision of outcome.decisions) if ('transaction' in decision) ids.push(decision.transaction.id);
    };
    await bystander.lockBalance(from);
    const first = submit(1);
    await bystander.untilWaiting();
    const sizes = [2, 2, 2, 2, 1, 9, 9, 1];
    const others: Promise<void>[] = [];
    for (const size of sizes) {
      const waiting = small.writer.waiting;
      others.push(submit(size));
      await until('it waits in the lane', () => small.writer.waiting > waiting);
    }
    await bystander.release();
    await Promise.all([first, ...others]);
    const { groups } = await bystander.one<{ groups: number[] }>(
      `SELECT array_agg(n ORDER BY first) AS groups FROM (
         SELECT count(*)::int AS n, min(id) AS first FROM transactions WHERE id = ANY ($1::bigint[]) GROUP BY xmin::text) g`,
      [ids],
    );
    expect(groups).toEqual([1, 9, 8, 9, 2]);
    await small.close();
  });

  test('answers that are held until their balances are published fill the lane, and leave it', async () => {
    const [from, to] = await pair();
    const publishing = Promise.withResolvers<void>();
    const strict: BalanceFences = {
      ...NO_FENCES,
      fence: async () => ({
        confirmed: true,
        publish: () => publishing.promise,
        abandon: async () => {},
        leave: () => {},
      }),
    };
    const narrow = await TestLedger.open(on, { lanes: 1, laneCapacity: 3, groupSize: 1 }, undefined, strict);
    const held = [1, 2, 3].map((index) => narrow.post(merchant, transfer(from, to, 1n), `held ${index}`));
    await until('three are committed and not published', async () => {
      const { n } = await bystander.one<{ n: number }>(
        `SELECT count(*)::int AS n FROM idempotency_keys WHERE key LIKE 'held %'`,
      );
      return n === 3 && narrow.writer.waiting === 3;
    });
    await expect(narrow.post(merchant, transfer(from, to, 1n), 'too many')).rejects.toMatchObject({
      code: 'overloaded',
    });
    publishing.resolve();
    await Promise.all(held);
    expect(narrow.writer.waiting).toBe(0);
    postedId(await narrow.post(merchant, transfer(from, to, 1n), 'too many'));
    await narrow.close();
  });
});
