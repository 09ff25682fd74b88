import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { readBalances } from '#ledger/accounts/balance-store.js';
import type { PostingReply } from '#ledger/posting/posting.js';
import { Deadline } from '#platform/deadline.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

/** Two ledgers on one database are two processes: nothing but PostgreSQL stands between them. */
describe('two processes on one book', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let one: TestLedger;
  let other: TestLedger;
  let merchant: bigint;
  let accounts = 0;

  beforeAll(async () => {
    on = await freshDatabase();
    // One attempt: a deadlock or a lost race would be seen as an error instead of being retried away.
    [bystander, one, other] = await Promise.all([
      Bystander.open(on),
      TestLedger.open(on, { attempts: 1 }),
      TestLedger.open(on, { attempts: 1 }),
    ]);
    merchant = await one.createMerchant();
  });
  afterAll(async () => {
    await Promise.all([one.close(), other.close(), bystander.close()]);
    await on.drop();
  });
  afterEach(() => expectVerified(on));

  const either = (index: number): TestLedger => (index % 2 === 0 ? one : other);
  const account = (more: { minAvailable?: bigint } = {}): Promise<bigint> =>
    one.createAccount(merchant, { code: `a${accounts++}`, ...more });
  const balanceOf = async (id: bigint): Promise<{ available: bigint; version: bigint }> => {
    const [balance] = await readBalances(
      one.database,
      [{ merchantId: merchant, accountId: id }],
      Deadline.after(5_000),
    );
    if (!balance) throw new Error(`no account ${id}`);
    return {
      available: balance.postedCredits - balance.postedDebits - balance.pendingDebits,
      version: balance.version,
    };
  };
  const codeOf = ({ result }: PostingReply): string => ('refusal' in result ? result.refusal.code : 'posted');

  test('64 clients on one account with a floor: exactly as many succeed as the money allows', async () => {
    const [funded, source, sink] = [await account({ minAvailable: -5n }), await account(), await account()];
    postedId(await one.post(merchant, transfer(source, funded, 35n)));
    const replies = await Promise.all(
      Array.from({ length: 64 }, (_, index) =>
        either(index).post(merchant, transfer(funded, sink, 1n, { pending: index % 3 === 0 })),
      ),
    );
    const codes = replies.map(codeOf);
    expect(codes.filter((code) => code === 'posted')).toHaveLength(40);
    expect(codes.filter((code) => code === 'insufficient_funds')).toHaveLength(24);
    expect(await balanceOf(funded)).toEqual({ available: -5n, version: 41n });
  });

  test('a storm of A→B and B→A meets no deadlock and loses nothing', async () => {
    const [a, b, c] = [await account(), await account(), await account()];
    const routes = [
      [a, b],
      [b, a],
      [b, c],
      [c, a],
      [a, c],
      [c, b],
    ] as const;
    // In waves, so that both processes are in the middle of a group again and again.
    for (let wave = 0; wave < 30; wave += 1) {
      await Promise.all(
        Array.from({ length: 24 }, async (_, index) => {
          const [from, to] = routes[(index + wave) % routes.length] as readonly [bigint, bigint];
          postedId(await either(index).post(merchant, transfer(from, to, BigInt(index + 1))));
        }),
      );
    }
    const balances = await Promise.all([a, b, c].map(balanceOf));
    expect(balances.reduce((sum, { available }) => sum + available, 0n)).toBe(0n);
    expect(balances.reduce((sum, { version }) => sum + version, 0n)).toBe(30n * 24n * 2n);
  });

  test('a key that comes with another request is refused, at the same time and later, here and there', async () => {
    const [from, to] = [await account(), await account()];
    const key = 'mismatch';
    const replies = await Promise.all(
      [1, 2, 1, 2].map((body, index) => either(index).post(merchant, transfer(from, to, BigInt(body)), key, { body })),
    );
    const posted = replies.filter(({ result }) => 'posting' in result).map(postedId);
    expect(new Set(posted).size).toBe(1);
    expect(new Set(replies.map(codeOf))).toEqual(new Set(['posted', 'idempotency_key_reused']));
    const firstBody = (await balanceOf(to)).available === 1n ? 1 : 2;
    for (const ledger of [one, other]) {
      expect(codeOf(await ledger.post(merchant, transfer(from, to, 9n), key, { body: 3 }))).toBe(
        'idempotency_key_reused',
      );
      const again = await ledger.post(merchant, transfer(from, to, BigInt(firstBody)), key, { body: firstBody });
      expect([postedId(again), again.replayed]).toEqual([posted[0], true]);
    }
    expect((await balanceOf(to)).version).toBe(1n);
  });

  test('a key that another process commits first, for other accounts, is found on a second try', async () => {
    const [from, to] = [await account(), await account()];
    const patient = await TestLedger.open(on);
    await bystander.client.query(
      `BEGIN; INSERT INTO idempotency_keys VALUES (${merchant}, 'elsewhere', sha256('x'), 201, 1)`,
    );
    const reply = patient.post(merchant, transfer(from, to, 1n), 'elsewhere');
    await bystander.untilWaiting(1);
    await bystander.client.query('COMMIT');
    expect(codeOf(await reply)).toBe('idempotency_key_reused');
    await bystander.client.query(`DELETE FROM idempotency_keys WHERE key = 'elsewhere'`);
    expect((await balanceOf(to)).version).toBe(0n);
    await patient.close();
  });

  test('a second request waits for the first one, up to a limit; one in another process waits behind its lock', async () => {
    const impatient = await TestLedger.open(on, { idempotencyWaitMs: 100 });
    const [from, to] = [await account(), await account()];
    const request = transfer(from, to, 3n);
    await bystander.lockBalance(from);
    const first = impatient.post(merchant, request, 'held up');
    await bystander.untilWaiting(1);
    await expect(impatient.post(merchant, request, 'held up')).rejects.toMatchObject({ code: 'idempotency_in_flight' });
    const elsewhere = other.post(merchant, request, 'held up');
    await bystander.untilWaiting(2);
    await bystander.release();
    expect(postedId(await elsewhere)).toBe(postedId(await first));
    const again = await impatient.post(merchant, request, 'held up');
    expect([postedId(again), again.replayed]).toEqual([postedId(await first), true]);
    expect((await balanceOf(to)).version).toBe(1n);
    await impatient.close();
  });

  test('a full lane refuses at once, and takes requests again afterwards', async () => {
    const narrow = await TestLedger.open(on, { lanes: 1, laneCapacity: 3 });
    const [from, to] = [await account(), await account()];
    await bystander.lockBalance(from);
    const inHand = narrow.post(merchant, transfer(from, to, 1n));
    await bystander.untilWaiting();
    const queued = [1, 2, 3].map(() => narrow.post(merchant, transfer(from, to, 1n)));
    await until('three requests wait in the lane', () => narrow.writer.waiting === 3);
    // Nothing has been released: a refusal that waited for the lane would never come.
    await expect(narrow.post(merchant, transfer(from, to, 1n), 'too many')).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterS: 1,
    });
    await bystander.release();
    await Promise.all([inHand, ...queued]);
    expect(postedId(await narrow.post(merchant, transfer(from, to, 1n), 'too many'))).toBeGreaterThan(0n);
    expect((await balanceOf(to)).available).toBe(5n);
    await narrow.close();
  });

  test('a deadline that passes while the account is locked is told in time, and nothing is written then or later', async () => {
    const [from, to] = [await account(), await account()];
    await bystander.lockBalance(from);
    const inHand = one.post(merchant, transfer(from, to, 1n), 'late, in hand', { timeoutMs: 300 });
    await bystander.untilWaiting();
    const queued = one.post(merchant, transfer(from, to, 1n), 'late, queued', { timeoutMs: 300 });
    const patient = one.post(merchant, transfer(from, to, 1n), 'patient');
    await expect(inHand).rejects.toMatchObject({ code: 'deadline_exceeded' });
    await expect(queued).rejects.toMatchObject({ code: 'deadline_exceeded' });
    await bystander.release();
    postedId(await patient);
    expect(await bystander.effectsOf('late, in hand')).toEqual({ keys: 0, transactions: 0 });
    expect(await bystander.effectsOf('late, queued')).toEqual({ keys: 0, transactions: 0 });
    expect((await balanceOf(to)).version).toBe(1n);
  });

  test('what PostgreSQL rejects fails alone: the others of its group commit', async () => {
    const [from, to] = [await account(), await account()];
    await bystander.lockBalance(from);
    const inHand = one.post(merchant, transfer(from, to, 1n));
    await bystander.untilWaiting();
    // NUL bytes get past `decide`; the routes refuse them earlier.
    const poison = one.post(merchant, transfer(from, to, 1n, { description: 'NUL \u0000 byte' }), 'poison');
    const outcome = expect(poison).rejects.toMatchObject({ code: '22021' });
    const neighbours = Array.from({ length: 10 }, () => one.post(merchant, transfer(from, to, 1n)));
    await until('all wait in one lane', () => one.writer.waiting === 11);
    await bystander.release();
    await outcome;
    expect(new Set(await Promise.all([inHand, ...neighbours].map(async (reply) => postedId(await reply)))).size).toBe(
      11,
    );
    expect(await bystander.effectsOf('poison')).toEqual({ keys: 0, transactions: 0 });
    expect(await balanceOf(to)).toEqual({ available: 11n, version: 11n });
  });

  test('requests in one lane commit together', async () => {
    const [from, to] = [await account(), await account()];
    await bystander.lockBalance(from);
    const inHand = one.post(merchant, transfer(from, to, 1n));
    await bystander.untilWaiting();
    const queued = Array.from({ length: 50 }, () => one.post(merchant, transfer(from, to, 1n)));
    await until('all wait in one lane', () => one.writer.waiting === 50);
    await bystander.release();
    const ids = await Promise.all([inHand, ...queued].map(async (reply) => postedId(await reply)));
    const groups = await bystander.one<{ groups: number }>(
      `SELECT count(DISTINCT xid)::int AS groups FROM events WHERE data ->> 'transaction_id' = ANY ($1)`,
      [ids.map(String)],
    );
    expect(groups).toEqual({ groups: 2 });
  });

  // Last: every test ends with a look through the whole book.
  test('10,000 keys × 5 simultaneous duplicates: one effect each, one stored answer', async () => {
    const [from, to, poor] = [await account(), await account(), await account({ minAvailable: 0n })];
    // Duplicates across processes race for the unique key when the first look-up found nothing yet: those are retried.
    const [left, right] = await Promise.all([TestLedger.open(on), TestLedger.open(on)]);
    let replayed = 0;
    for (let chunk = 0; chunk < 10; chunk += 1) {
      await Promise.all(
        Array.from({ length: 1_000 }, async (_, index) => {
          const key = `storm ${chunk}:${index}`;
          const request = transfer(index % 10 === 0 ? poor : from, to, 1n);
          const five = await Promise.all(
            [0, 1, 2, 3, 4].map((copy) => (copy % 2 === 0 ? left : right).post(merchant, request, key)),
          );
          const [first, ...others] = five.map((reply) => reply.result);
          for (const result of others) if (!Object.is(result, first)) expect(result).toEqual(first);
          expect(five.filter((reply) => !reply.replayed)).toHaveLength(1);
          replayed += five.filter((reply) => reply.replayed).length;
        }),
      );
    }
    await Promise.all([left.close(), right.close()]);
    expect(replayed).toBe(40_000);
    expect(await balanceOf(to)).toEqual({ available: 9_000n, version: 9_000n });
    expect(
      await bystander.one(
        `SELECT count(*)::int AS keys, count(DISTINCT transaction_id)::int AS transactions FROM idempotency_keys WHERE key LIKE 'storm %'`,
      ),
    ).toEqual({ keys: 10_000, transactions: 9_000 });
  }, 180_000);
});
