import type { CommandBus } from '@nestjs/cqrs';
import type { QueryRunner } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FillDueRows1764504000001, HoldsAreDueRows1764504000002 } from '#db/migrations/1764504000000-due-rows.js';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { holdExpiry } from '#ledger/duties/expiry.js';
import { purgeIdempotencyKeys, purgeWriteFences } from '#ledger/duties/purge.js';
import { type ChangeTransactionCommand, ChangeTransactionHandler } from '#ledger/posting/change-transaction.command.js';
import { loadTransactions } from '#ledger/reading/transaction-store.js';
import { GroupConnection } from '#ledger/writing/group-store.js';
import { Deadline } from '#platform/deadline.js';
import type { DueWork } from '#platform/due-work.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';
import { startWorker } from './support/worker.js';

const DAY_MS = 86_400_000;

describe('duties', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let one: TestLedger;
  let other: TestLedger;
  let merchants: bigint[];
  let accounts = 0;

  beforeAll(async () => {
    on = await freshDatabase();
    [bystander, one, other] = await Promise.all([Bystander.open(on), TestLedger.open(on), TestLedger.open(on)]);
    merchants = [await one.createMerchant(), await one.createMerchant(), await one.createMerchant()];
  });
  afterAll(async () => {
    await Promise.all([one.close(), other.close(), bystander.close()]);
    await on.drop();
  });
  afterEach(() => expectVerified(on));

  const expiryOf = (ledger: TestLedger): DueWork => {
    const handler = new ChangeTransactionHandler(ledger.database, ledger.directory, ledger.writer);
    const commands = {
      execute: (command: ChangeTransactionCommand) => handler.execute(command),
    } as unknown as CommandBus;
    return holdExpiry(ledger.database, commands);
  };
  const expire = (ledger: TestLedger): Promise<number> => expiryOf(ledger).round();
  const pair = async (merchant: bigint): Promise<[bigint, bigint]> => [
    await one.createAccount(merchant, { code: `a${accounts++}`, minAvailable: -1_000n }),
    await one.createAccount(merchant, { code: `a${accounts++}` }),
  ];
  const hold = async (
    merchant: bigint,
    accountsOf: [bigint, bigint],
    expiresAtMs: number | undefined,
  ): Promise<bigint> =>
    postedId(
      await one.post(
        merchant,
        transfer(...accountsOf, 10n, { pending: true, ...(expiresAtMs !== undefined && { expiresAtMs }) }),
      ),
    );
  const tomorrow = (): number => Date.now() + DAY_MS;
  const statusOf = async (merchant: bigint, id: bigint): Promise<string | undefined> =>
    (await loadTransactions(one.database, merchant, [id], Deadline.after(5_000)))[0]?.state.status;

  /** Nobody may ask for a hold whose time is over: theirs is moved by the owner of the tables. */
  const expireAt = async (atMs: number, ...ids: bigint[]): Promise<void> => {
    const at = 'to_timestamp($1::float8 / 1000)';
    const values = [atMs, ids];
    await bystander.client.query(`UPDATE transactions SET expires_at = ${at} WHERE id = ANY ($2)`, values);
    await bystander.client.query(
      `UPDATE due_rows SET due_at = ${at}, try_at = ${at} WHERE subject_id = ANY ($2)`,
      values,
    );
  };

  /** Makes the holds due, and waits until they are. */
  const makeDue = async (...ids: bigint[]): Promise<void> => {
    const atMs = Date.now();
    await expireAt(atMs, ...ids);
    await until('the holds are due by the clock of the database', async () => {
      const text = 'SELECT now() > to_timestamp($1::float8 / 1000) AS due';
      return (await bystander.one<{ due: boolean }>(text, [atMs])).due;
    });
  };

  describe('expiry', () => {
    test('two processes at once expire each due hold once, of every merchant, and no other', async () => {
      const due: [bigint, bigint][] = [];
      const kept: [bigint, bigint][] = [];
      for (const merchant of merchants) {
        const accountsOf = await pair(merchant);
        const ids = await Promise.all(Array.from({ length: 20 }, () => hold(merchant, accountsOf, tomorrow())));
        due.push(...ids.map((id): [bigint, bigint] => [merchant, id]));
        kept.push(
          [merchant, await hold(merchant, accountsOf, tomorrow())],
          [merchant, await hold(merchant, accountsOf, undefined)],
        );
      }
      await makeDue(...due.map(([, id]) => id));
      const expired = await Promise.all([expire(one), expire(other), expire(one), expire(other)]);
      expect(expired.reduce((sum, count) => sum + count, 0)).toBe(60);
      expect(new Set(await Promise.all(due.map(([merchant, id]) => statusOf(merchant, id))))).toEqual(
        new Set(['expired']),
      );
      expect(new Set(await Promise.all(kept.map(([merchant, id]) => statusOf(merchant, id))))).toEqual(
        new Set(['pending']),
      );
      const { expiries } = await bystander.one<{ expiries: number }>(
        `SELECT count(*)::int AS expiries FROM transactions WHERE kind = 'expiry'`,
      );
      expect(expiries).toBe(60);
      expect(await expire(one)).toBe(0);
    });

    test('more holds than one round takes are expired by the following rounds', async () => {
      const [merchant] = merchants as [bigint];
      const accountsOf = await pair(merchant);
      const wide: [bigint, bigint] = [accountsOf[1], accountsOf[0]];
      await makeDue(...(await Promise.all(Array.from({ length: 450 }, () => hold(merchant, wide, tomorrow())))));

      const rounds = [];
      for (let count = await expire(one); count > 0; count = await expire(one)) {
        rounds.push(count);
      }
      expect(rounds).toEqual([200, 200, 50]);
    });

    test('a database that is away says nothing about a hold: the round fails, and the next one tries it again', async () => {
      const merchant = await one.createMerchant();
      const due = await hold(merchant, await pair(merchant), tomorrow());
      await makeDue(due);
      const proxy = await TcpProxy.open(on.runtimeUrl);
      const ledger = await TestLedger.open(on, { databaseUrl: proxy.url });
      const expiry = expiryOf(ledger);
      proxy.refuse();
      await expect(expiry.round()).rejects.toMatchObject({ code: 'database_unavailable' });
      expect(expiry.failures).toBe(0);
      proxy.accept();
      const attempts = 'SELECT attempts FROM due_rows WHERE subject_id = $1';
      expect(await bystander.one(attempts, [due])).toEqual({ attempts: 0 });
      await until('a round tries it again', async () => (await expiry.round()) === 1);
      expect(await statusOf(merchant, due)).toBe('expired');
      await ledger.close();
      await proxy.close();
    });

    test('a hold whose time has come for PostgreSQL alone stays due until it has come for the ledger', async () => {
      const merchant = await one.createMerchant();
      const early = await hold(merchant, await pair(merchant), tomorrow());
      await bystander.client.query('UPDATE due_rows SET try_at = now() WHERE subject_id = $1', [early]);
      const expiry = expiryOf(one);
      expect([await expiry.round(), expiry.failures]).toEqual([0, 0]);
      expect(await statusOf(merchant, early)).toBe('pending');
      await makeDue(early);
      expect(await expiry.round()).toBe(1);
      expect(await statusOf(merchant, early)).toBe('expired');
    });

    test('a hold that cannot expire costs no other its turn, and is tried again later', async () => {
      const [merchant, later] = [await one.createMerchant(), await one.createMerchant()];
      const [accountsOf, theirs] = [await pair(merchant), await pair(later)];
      const poison = await hold(merchant, accountsOf, tomorrow());
      const neighbour = await hold(merchant, accountsOf, tomorrow());
      const other = await hold(later, theirs, tomorrow());
      // PostgreSQL refuses this one, as it would one whose books are broken.
      await bystander.client.query(`
        CREATE FUNCTION refuse_expiry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison'; END $$;
        CREATE TRIGGER refuse_expiry BEFORE INSERT ON transactions FOR EACH ROW WHEN (NEW.parent_id = ${poison}) EXECUTE FUNCTION refuse_expiry()`);
      await makeDue(poison, neighbour, other);
      const waits = async (ms: number): Promise<void> => {
        await bystander.client.query(`UPDATE due_rows SET try_at = try_at - $1::int * interval '1 ms'`, [ms]);
      };
      const expiry = expiryOf(one);
      expect(await expiry.round()).toBe(2);
      expect([await statusOf(merchant, neighbour), await statusOf(later, other)]).toEqual(['expired', 'expired']);
      expect([await statusOf(merchant, poison), expiry.failures]).toEqual(['pending', 1]);
      await expiry.round();
      expect(expiry.failures).toBe(1);
      await waits(10_000);
      await expiry.round();
      expect(expiry.failures).toBe(2);
      await bystander.client.query('DROP TRIGGER refuse_expiry ON transactions; DROP FUNCTION refuse_expiry');
      await waits(10_000);
      expect(await expiry.round()).toBe(0);
      await waits(10_000);
      expect(await expiry.round()).toBe(1);
      expect(await statusOf(merchant, poison)).toBe('expired');
    });

    test('merchants take turns: one with more holds than a round takes leaves room for the others', async () => {
      const [busy, quiet] = [await one.createMerchant(), await one.createMerchant()];
      const [accountsOf, theirs] = [await pair(busy), await pair(quiet)];
      const wide: [bigint, bigint] = [accountsOf[1], accountsOf[0]];
      const many = await Promise.all(Array.from({ length: 250 }, () => hold(busy, wide, tomorrow())));
      const id = await hold(quiet, theirs, tomorrow());
      await makeDue(...many, id);
      expect(await expire(one)).toBe(200);
      expect(await statusOf(quiet, id)).toBe('expired');
      expect(await expire(one)).toBe(51);
    });

    test('a hold captured in part expires with what remains', async () => {
      const [merchant] = merchants as [bigint];
      const id = await hold(merchant, await pair(merchant), tomorrow());
      postedId(await one.change(merchant, { kind: 'capture', parentId: id, amount: 4n, final: false }));
      await makeDue(id);
      expect(await expire(one)).toBe(1);
      expect(await statusOf(merchant, id)).toBe('expired');
    });

    test('a worker wakes when a hold’s time comes, without looking in between', async () => {
      const [merchant] = merchants as [bigint];
      const id = await hold(merchant, await pair(merchant), Date.now() + 3_000);
      const stop = await startWorker(on, { EXPIRY_INTERVAL_MS: '3600000' });
      try {
        await until('it has expired', async () => (await statusOf(merchant, id)) === 'expired');
      } finally {
        await stop();
      }
    });

    test('a hold is due for as long as it holds something, and no longer', async () => {
      const [merchant] = merchants as [bigint];
      const accountsOf = await pair(merchant);
      const [captured, voided] = [
        await hold(merchant, accountsOf, tomorrow()),
        await hold(merchant, accountsOf, tomorrow()),
      ];
      const capture = (amount: bigint) =>
        one.change(merchant, { kind: 'capture', parentId: captured, amount, final: false });
      const areDue = async () => {
        const text = 'SELECT subject_id FROM due_rows WHERE subject_id = ANY ($1) ORDER BY 1';
        return (await bystander.client.query(text, [[captured, voided]])).rows.map(({ subject_id: id }) => BigInt(id));
      };
      postedId(await capture(4n));
      expect(await areDue()).toEqual([captured, voided]);
      postedId(await capture(6n));
      expect(await areDue()).toEqual([voided]);
      postedId(await one.change(merchant, { kind: 'void', parentId: voided }));
      expect(await areDue()).toEqual([]);
    });

    test('a capture and an expiry at the same time: one of them', async () => {
      const [merchant] = merchants as [bigint];
      const accountsOf = await pair(merchant);
      for (let round = 0; round < 10; round += 1) {
        const id = await hold(merchant, accountsOf, tomorrow());
        const soon = Date.now() + 30;
        await expireAt(soon, id);
        await until('the hold is nearly due', () => Date.now() >= soon - 2);
        const [captured] = await Promise.all([
          one.change(merchant, { kind: 'capture', parentId: id, final: true }),
          expire(other),
        ]);
        while ((await statusOf(merchant, id)) === 'pending') await expire(other);
        expect(await statusOf(merchant, id)).toBe('posting' in captured.result ? 'posted' : 'expired');
      }
    });
  });

  test('holds of a database of the version before become due, also what that version records and ends while it migrates', async () => {
    const merchant = await one.createMerchant();
    const accountsOf = await pair(merchant);
    const hasTime = () => hold(merchant, accountsOf, tomorrow());
    const [open, meanwhile, ended] = [await hasTime(), await hasTime(), await hasTime()];
    await hold(merchant, accountsOf, undefined);
    postedId(await one.change(merchant, { kind: 'void', parentId: ended }));
    const { client } = bystander;
    const runner = {
      query: async (text: string, values?: unknown[]) => (await client.query(text, values)).rows,
      startTransaction: () => client.query('BEGIN'),
      commitTransaction: () => client.query('COMMIT'),
      rollbackTransaction: () => client.query('ROLLBACK'),
    } as unknown as QueryRunner;
    const [fill, hand] = [new FillDueRows1764504000001(), new HoldsAreDueRows1764504000002()];
    await client.query('BEGIN');
    await hand.down(runner);
    await client.query('COMMIT');
    expect((await client.query("SELECT FROM due_rows WHERE kind = 'hold expiry'")).rowCount).toBe(0);
    await fill.up(runner);
    await fill.up(runner);
    await client.query('UPDATE due_rows SET subject_id = $2 WHERE subject_id = $1', [meanwhile, ended]);
    await client.query('BEGIN');
    await hand.up(runner);
    await client.query('COMMIT');
    const { rows } = await client.query('SELECT subject_id FROM due_rows WHERE merchant_id = $1 ORDER BY 1', [
      merchant,
    ]);
    expect(rows.map(({ subject_id: id }) => BigInt(id))).toEqual([open, meanwhile]);
  });

  describe('the purge of idempotency keys', () => {
    test('forgets those older than their retention, of every merchant, and no younger one', async () => {
      for (const merchant of merchants) {
        const [from, to] = await pair(merchant);
        for (const key of ['old', 'young']) postedId(await one.post(merchant, transfer(from, to, 1n), key));
      }
      await bystander.client.query(
        `UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = 'old'`,
      );
      expect(await purgeIdempotencyKeys(one.database, DAY_MS, Date.now())).toBe(3);
      expect(await bystander.effectsOf('old')).toEqual({ keys: 0, transactions: 0 });
      expect(await bystander.effectsOf('young')).toEqual({ keys: 3, transactions: 3 });
    });

    test('goes on until nothing is left, in batches', async () => {
      await bystander.client.query(
        `INSERT INTO idempotency_keys SELECT $1, 'many ' || n, sha256('x'), 422, NULL, '{}', now() - interval '2 days' FROM generate_series(1, 12000) n`,
        [merchants[0]],
      );
      expect(await purgeIdempotencyKeys(one.database, DAY_MS, Date.now())).toBe(12_000);
    });
  });

  describe('the purge of fence tokens', () => {
    test('forgets tokens of a day ago, keeps younger ones, and refuses the old ones ever after', async () => {
      const old = firstSnowflakeAt(Date.now() - 2 * DAY_MS);
      const connection = await GroupConnection.open(on.runtimeUrl, 5_000);
      // A group that was voided two days ago, and whose writer was frozen since.
      expect(await connection.committed(old)).toBe(false);
      const { tokens } = await bystander.one<{ tokens: number }>('SELECT count(*)::int AS tokens FROM write_fences');
      expect(await purgeWriteFences(one.database, Date.now())).toBe(1);
      expect(await bystander.one('SELECT count(*)::int AS tokens FROM write_fences')).toEqual({ tokens: tokens - 1 });
      // Whoever asks about it is refused, and so is the writer, should it wake up: its group cannot commit.
      await expect(connection.committed(old)).rejects.toMatchObject({
        code: '23514',
        constraint: 'write_fence_horizon',
      });
      await connection.begin({
        merchantIds: [merchants[0] as bigint],
        timeoutMs: 5_000,
        lockWaitMs: 5_000,
        accounts: [],
        keys: [],
        parents: [],
        parts: new Map(),
      });
      const written = connection.writeAndCommit({
        token: old,
        transactions: [],
        balances: [],
        states: [],
        keys: [],
        events: [],
        timers: [],
        statements: [],
      });
      await expect(written).rejects.toMatchObject({ code: '23514', constraint: 'write_fence_horizon' });
      await connection.close();
    });

    test('never takes its horizon back', async () => {
      await purgeWriteFences(one.database, Date.now());
      const before = await bystander.one('SELECT token FROM write_fence_horizon');
      await purgeWriteFences(one.database, Date.now() - 30 * DAY_MS);
      expect(await bystander.one('SELECT token FROM write_fence_horizon')).toEqual(before);
    });
  });
});
