import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Outcome } from '#ledger/writing/group-extension.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

interface Book {
  id: bigint;
  from: bigint;
  to: bigint;
}

/** How long a neighbour may take on a busy machine; whoever waits for what the test holds waits longer. */
const SOON_MS = 15_000;

describe('lanes that merchants share', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let ledger: TestLedger;
  const opened: TestLedger[] = [];

  beforeAll(async () => {
    on = await freshDatabase();
    [bystander, ledger] = await Promise.all([Bystander.open(on), TestLedger.open(on)]);
  });
  afterAll(async () => {
    await Promise.all([ledger.close(), bystander.close()]);
    await on.drop();
  });
  afterEach(async () => {
    await bystander.release();
    await Promise.all(opened.splice(0).map((one) => one.close()));
    await expectVerified(on);
  });

  const open = async (options: Parameters<typeof TestLedger.open>[1]): Promise<TestLedger> => {
    const one = await TestLedger.open(on, { lanes: 1, groupTimeoutMs: 60_000, ...options });
    opened.push(one);
    return one;
  };
  const merchant = async (): Promise<Book> => {
    const id = await ledger.createMerchant();
    const [from, to] = [await ledger.createAccount(id, { code: 'a' }), await ledger.createAccount(id, { code: 'b' })];
    return { id, from, to };
  };
  const post = (by: TestLedger, { id, from, to }: Book, key?: string) =>
    by.post(id, transfer(from, to, 1n), key, { timeoutMs: SOON_MS });
  const batch = async (by: TestLedger, { id, from, to }: Book, size: number): Promise<Outcome> => {
    const context = by.context(id, SOON_MS);
    const requests = Array.from({ length: size }, () => transfer(from, to, 1n));
    const { commands, accounts } = await by.directory.resolve(context, requests);
    const idempotency = { key: randomUUID(), requestSha256: Buffer.alloc(32) };
    return (await by.writer.post(context, { mode: 'independent', commands, accounts, idempotency })).outcome;
  };
  /** The lane is in hand of this one until the bystander releases it. */
  const occupy = async (by: TestLedger, { id, from, to }: Book) => {
    await bystander.lockBalance(from);
    const first = by.post(id, transfer(from, to, 1n));
    await bystander.untilWaiting();
    return { first };
  };
  const lockMerchant = (id: bigint) => bystander.client.query('SELECT lock_merchants($1)', [`{${id}}`]);
  /** The groups that transactions committed in, first to last, by how many of them each has. */
  const groupsOf = async (ids: readonly bigint[]): Promise<bigint[][]> => {
    const { groups } = await bystander.one<{ groups: string[][] }>(
      `SELECT json_agg(ids ORDER BY first) AS groups FROM (
         SELECT json_agg(id::text) AS ids, min(id) AS first FROM transactions WHERE id = ANY ($1::bigint[]) GROUP BY xmin::text) g`,
      [ids],
    );
    return groups.map((group) => group.map(BigInt));
  };

  test('a posting of one goes with the next group, however many of another came before', async () => {
    const [flood, neighbour] = [await merchant(), await merchant()];
    const one = await open({ groupSize: 4 });
    const { first } = await occupy(one, flood);
    const flooded = Array.from({ length: 40 }, () => post(one, flood));
    await until('the flood waits', () => one.writer.waiting === 40);
    const own = post(one, neighbour);
    await until('so does the neighbour', () => one.writer.waiting === 41);
    await bystander.release();
    const ids = (await Promise.all([first, ...flooded])).map(postedId);
    const id = postedId(await own);
    const groups = await groupsOf([...ids, id]);
    expect(groups.findIndex((group) => group.includes(id))).toBe(1);
    expect(groups.map(({ length }) => length).slice(0, 3)).toEqual([1, 4, 4]);
  });

  test('who floods is overloaded by itself', async () => {
    const [flood, neighbour] = [await merchant(), await merchant()];
    const one = await open({ merchantCapacity: 3 });
    const { first } = await occupy(one, flood);
    const flooded = [1, 2, 3].map(() => post(one, flood));
    await until('three wait', () => one.writer.waiting === 3);
    await expect(post(one, flood, 'too many')).rejects.toMatchObject({ code: 'overloaded', retryAfterS: 1 });
    const own = post(one, neighbour);
    await until('the neighbour waits', () => one.writer.waiting === 4);
    await bystander.release();
    await Promise.all([first, ...flooded, own]);
    postedId(await post(one, flood, 'too many'));
  });

  test('a batch that fills a group is nobody’s wait but its merchant’s', async () => {
    const [large, neighbour] = [await merchant(), await merchant()];
    const one = await open({ groupSize: 4 });
    await bystander.lockBalance(large.from);
    const held = batch(one, large, 9);
    await bystander.untilWaiting();
    const behind = post(one, large);
    await until('it waits for its own batch', () => one.writer.waiting === 1);
    // The batch holds its locks still.
    postedId(await post(one, neighbour));
    expect([one.writer.waiting, (await bystander.waiting()).length]).toEqual([1, 1]);
    await bystander.release();
    expect(await held).toMatchObject({ kind: 'decided' });
    postedId(await behind);
    expect(one.writer.counts).toEqual({ shared: 2, apart: 1, leftBehind: 0 });
  });

  test('a merchant has one group in flight, and a lane that is idle is others’', async () => {
    const [busy, neighbour] = [await merchant(), await merchant()];
    const two = await open({ lanes: 2 });
    const { first } = await occupy(two, busy);
    const more = [post(two, busy), batch(two, busy, 1_000)];
    await until('they wait', () => two.writer.waiting === 2);
    postedId(await post(two, neighbour));
    expect([two.writer.waiting, (await bystander.waiting()).length]).toEqual([2, 1]);
    await bystander.release();
    await Promise.all([first, ...more]);
  });

  test('a merchant that another process keeps locked is left behind by its group, and comes when the lock is free', async () => {
    const [locked, neighbour, occupant] = [await merchant(), await merchant(), await merchant()];
    const one = await open({ apartLockWaitMs: 30_000 });
    const { first } = await occupy(one, occupant);
    const waits = [post(one, locked), post(one, locked)];
    const own = post(one, neighbour);
    await until('three wait', () => one.writer.waiting === 3);
    await bystander.release();
    await bystander.client.query('BEGIN');
    await lockMerchant(locked.id);
    await Promise.all([first, own].map(async (reply) => postedId(await reply)));
    // Once more: it does not wait for the lock a second time.
    postedId(await post(one, neighbour));
    await bystander.untilWaiting(1);
    await bystander.release();
    const ids = (await Promise.all(waits)).map(postedId);
    expect(await groupsOf(ids)).toEqual([ids]);
    expect(one.writer.counts).toEqual({ shared: 3, apart: 1, leftBehind: 2 });
  });

  test('nor does it keep others that go apart from their lane; in the end it is told so, and nothing is written', async () => {
    const [locked, large] = [await merchant(), await merchant()];
    const one = await open({ groupSize: 4, lockWaitMs: 10, apartLockWaitMs: 100, attempts: 3 });
    await bystander.client.query('BEGIN');
    await lockMerchant(locked.id);
    const refused = expect(post(one, locked, 'locked')).rejects.toMatchObject({ code: 'database_unavailable' });
    await bystander.untilWaiting(1);
    expect(await batch(one, large, 9)).toMatchObject({ kind: 'decided' });
    await refused;
    await bystander.release();
    expect(await bystander.effectsOf('locked')).toEqual({ keys: 0, transactions: 0 });
    postedId(await post(one, locked, 'locked'));
  });

  test('what PostgreSQL rejects of one merchant does not part the others’ group, and its others do not hold them up', async () => {
    const [poisoned, neighbour, occupant] = [await merchant(), await merchant(), await merchant()];
    const one = await open({});
    const { first } = await occupy(one, occupant);
    const poison = transfer(poisoned.from, poisoned.to, 1n, { description: 'NUL \u0000 byte' });
    const failed = expect(one.post(poisoned.id, poison)).rejects.toMatchObject({ code: '22021' });
    const others = [poisoned, poisoned, neighbour, neighbour].map((of) => post(one, of));
    await until('five wait', () => one.writer.waiting === 5);
    await bystander.release();
    await Promise.all([first, failed]);
    const [a, b, c, d] = (await Promise.all(others)).map(postedId) as [bigint, bigint, bigint, bigint];
    expect(await groupsOf([a, b, c, d])).toEqual([[c, d], [a], [b]]);
  });

  test('a group sees and writes nothing of a merchant that it did not lock', async () => {
    const [here, elsewhere] = [await merchant(), await merchant()];
    const as = (sql: string) => bystander.client.query(sql);
    await bystander.client.query('BEGIN; SET LOCAL ROLE counterfoil_runtime');
    const other = await Bystander.open(on);
    await other.client.query('BEGIN');
    await other.client.query('SELECT lock_merchants($1)', [`{${elsewhere.id}}`]);
    const both = `'{${[here.id, elsewhere.id].sort((a, b) => (a < b ? -1 : 1)).join(',')}}'`;
    await as(`SELECT set_config('counterfoil.merchant_ids', ${both}, true)`);
    const { rows } = await as(`SELECT lock_merchants_within(${both}, 20)::text[] AS locked`);
    expect(rows).toEqual([{ locked: [String(here.id)] }]);
    const seen = await as('SELECT DISTINCT merchant_id::text AS id FROM balances');
    expect(seen.rows).toEqual([{ id: String(here.id) }]);
    const timeout = await as(`SELECT current_setting('lock_timeout') AS lock_timeout`);
    expect(timeout.rows).toEqual([{ lock_timeout: '0' }]);
    await other.close();
  });
});
