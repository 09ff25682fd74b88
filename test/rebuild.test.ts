import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { Database, type Scope, type TransactionClient } from '#platform/postgres.js';
import { verify } from '#platform/verify.js';
import { SUMMARY_CHECKS } from '#summaries/checks.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { RebuildRefused, rebuildDailySummaries } from '#summaries/rebuild.js';
import { LiveSummaries } from './outbox/live-summaries.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { sourceProcess } from './support/source-process.js';
import { until } from './support/until.js';
import { expectVerified, offendersOf } from './support/verified.js';

let on: TestDatabase;
let ledger: TestLedger;
let live: LiveSummaries;
let admin: pg.Client;
/** As `npm run projections` has it. */
let database: Database;

beforeEach(async () => {
  on = await freshDatabase();
  admin = new pg.Client({ connectionString: on.ownerUrl });
  await admin.connect();
  ledger = await TestLedger.open(on);
  live = new LiveSummaries(on, ledger);
  database = open(Database);
});
afterEach(async () => {
  await ledger.close();
  await database.close();
  await admin.end();
  await on.drop();
});

const open = <Kind extends Database>(kind: new (...parameters: ConstructorParameters<typeof Database>) => Kind): Kind =>
  new kind(on.runtimeUrl, { poolSize: 2, connectTimeoutMs: 5_000, applicationName: 'rebuilding' });

interface Shop {
  merchant: bigint;
  accounts: [bigint, bigint];
}

async function shop(): Promise<Shop> {
  const merchant = await ledger.createMerchant();
  const accounts: [bigint, bigint] = [
    await ledger.createAccount(merchant, { code: 'a' }),
    await ledger.createAccount(merchant, { code: 'b' }),
  ];
  return { merchant, accounts };
}

const post = async ({ merchant, accounts }: Shop): Promise<bigint> =>
  postedId(await ledger.post(merchant, transfer(...accounts, 3n)));

/** Some shops, with postings, captured holds and a reversal that the live consumer has applied. */
async function applied(count = 5): Promise<Shop[]> {
  const shops = await Promise.all(Array.from({ length: count }, shop));
  for (const one of shops) {
    await Promise.all(Array.from({ length: 12 }, () => post(one)));
    const hold = postedId(await ledger.post(one.merchant, transfer(...one.accounts, 9n, { pending: true })));
    await ledger.change(one.merchant, { kind: 'capture', parentId: hold, amount: 4n, final: true });
    await ledger.change(one.merchant, { kind: 'reverse', parentId: await post(one), amount: 2n });
  }
  await live.catchUp();
  await expectServed();
  return shops;
}

const sql = async <Row extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> =>
  (await admin.query<Row>(text, values)).rows;

const ROW = `concat_ws(' ', merchant_id, day, account_id, type, currency)`;
/** From the ledger's entries themselves, not from the log. $1 transactions that are left out. */
const LEDGER = `
SELECT ${ROW} AS row, debit_count, debit_amount, credit_count, credit_amount FROM (
  SELECT e.merchant_id, (e.effective_at AT TIME ZONE m.time_zone)::date AS day, account_id, type, currency,
         count(*) FILTER (WHERE direction = 1) AS debit_count, coalesce(sum(posted_amount) FILTER (WHERE direction = 1), 0) AS debit_amount,
         count(*) FILTER (WHERE direction = -1) AS credit_count, coalesce(sum(posted_amount) FILTER (WHERE direction = -1), 0) AS credit_amount
    FROM entries e JOIN merchants m ON m.id = e.merchant_id WHERE posted_amount > 0 AND transaction_id <> ALL ($1)
   GROUP BY e.merchant_id, day, account_id, type, currency) f ORDER BY row`;
const SERVED = `
SELECT ${ROW} AS row, debit_count, debit_amount, credit_count, credit_amount FROM daily_summaries
 WHERE generation = (SELECT generation FROM projections) ORDER BY row`;

/** What is served is a fold of the ledger's entries. */
async function expectFold(without: readonly bigint[] = []): Promise<void> {
  const served = await sql(SERVED);
  expect(served).toEqual(await sql(LEDGER, [without]));
  expect(served.length).toBeGreaterThan(0);
}

/** The same, and verify agrees. */
async function expectServed(without: readonly bigint[] = []): Promise<void> {
  await expectFold(without);
  await expectVerified(on);
}

/** Nothing is left of any attempt but what is served. */
async function expectTidy(generation: number): Promise<void> {
  expect(await sql('SELECT generation, claimed_until < now() AS free FROM projections')).toEqual([
    { generation, free: true },
  ]);
  expect(await sql('SELECT DISTINCT generation FROM daily_summaries')).toEqual([{ generation }]);
  expect(await sql('SELECT DISTINCT consumer FROM consumer_positions')).toEqual([{ consumer: 'daily_summaries' }]);
}

const CORRUPTIONS: [title: string, sql: string][] = [
  ['a changed sum', 'UPDATE daily_summaries SET debit_amount = debit_amount + 1 WHERE debit_count > 0'],
  ['a changed count', 'UPDATE daily_summaries SET credit_count = credit_count + 1 WHERE credit_count > 0'],
  ['rows on other days, as earlier builds had what was back-dated', 'UPDATE daily_summaries SET day = day + 40'],
  [
    'a row that is missing',
    'DELETE FROM daily_summaries WHERE ctid = (SELECT ctid FROM daily_summaries ORDER BY account_id LIMIT 1)',
  ],
  [
    'a row too many',
    `INSERT INTO daily_summaries SELECT merchant_id, generation, day - 1, account_id, type, currency, 1, 1, 0, 0 FROM daily_summaries LIMIT 1`,
  ],
];

describe('npm run verify, on the daily summaries,', () => {
  const found = async (): Promise<string> => JSON.stringify(offendersOf(await verify(on.runtimeUrl, SUMMARY_CHECKS)));

  test.each(CORRUPTIONS)('finds %s, which a rebuild heals', async (_title, corruption) => {
    await applied();
    await sql(corruption);
    expect(await found()).toMatch(/I6.*account/);
    const rebuilt = await rebuildDailySummaries(database);
    expect(rebuilt.generation).toBe(2);
    await expectServed();
    await expectTidy(2);
  });

  test('finds a position that was moved past events, which a rebuild heals', async () => {
    const [one] = (await applied()) as [Shop];
    await post(one);
    await sql(
      `UPDATE consumer_positions p SET xid = e.xid, seq = e.seq FROM (SELECT * FROM events WHERE merchant_id = $1 ORDER BY xid DESC, seq DESC LIMIT 1) e
        WHERE p.partition = e.partition`,
      [one.merchant],
    );
    expect(await found()).toMatch(/I6.*account/);
    await rebuildDailySummaries(database);
    await expectServed();
  });

  test('counts what is not applied yet and what was given up on, and finds neither wrong', async () => {
    const [one, other] = (await applied()) as [Shop, Shop];
    live.poison.add(String(await post(one)));
    await live.catchUp();
    for (let more = 0; more < 3; more += 1) await post(other);
    const counts = (await verify(on.runtimeUrl, SUMMARY_CHECKS)).map(({ counted }) => counted);
    const [{ events }] = (await sql<{ events: string }>('SELECT count(*) AS events FROM events')) as [
      { events: string },
    ];
    expect(counts).toEqual([5n, BigInt(events) - 4n, 3n, 1n]);
    expect(await found()).toBe('{}');
    // A letter that is said to have been redriven, and was not.
    await sql(`UPDATE dead_letters SET status = 'redriven', decided_by = 'x', decided_at = now(), reason = 'x'`);
    expect(await found()).toMatch(/I6.*account/);
  });
});

describe('a rebuild', () => {
  test('goes on while others write, and at every moment the served rows are what the log says', async () => {
    const shops = await applied();
    const outbox = await TestOutbox.start(on, ledger, { consumers: [new DailySummaries()] });
    let isOver = false;
    const writers = shops.map(async (one) => {
      let posted = 0;
      for (; !isOver; posted += 1) await post(one);
      return posted;
    });
    let looks = 0;
    const watcher = (async () => {
      for (; !isOver; looks += 1) {
        expect(offendersOf(await verify(on.runtimeUrl, SUMMARY_CHECKS))).toEqual({});
      }
    })();
    try {
      for (const generation of [2, 3, 4]) {
        const before = looks;
        expect(await rebuildDailySummaries(database)).toMatchObject({ generation });
        await until('somebody has looked', () => looks > before + 1);
      }
    } finally {
      isOver = true;
      await watcher;
      expect(Math.min(...(await Promise.all(writers)))).toBeGreaterThan(0);
    }
    await until('all is applied', async () => {
      const [, , waiting] = await verify(on.runtimeUrl, SUMMARY_CHECKS);
      return waiting?.counted === 0n;
    });
    await outbox.stop();
    await expectServed();
    await expectTidy(4);
  });

  test('changes generations only when no batch of the live consumer’s is under way', async () => {
    const [one] = (await applied()) as [Shop];
    await post(one);
    const batch = await live.stopBeforeCommit(one.merchant);
    let isDone = false;
    const rebuilding = rebuildDailySummaries(database).then(() => {
      isDone = true;
    });
    await until('the rebuild waits for the batch', async () => {
      expect(isDone).toBe(false);
      const waiting = await sql(
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'rebuilding' AND datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return waiting.length > 0;
    });
    await batch.commit();
    await rebuilding;
    await expectServed();
    await post(one);
    await live.catchUp();
    await expectServed();
    await expectTidy(2);
  });

  test('passes over what was given up on, and takes what is redriven meanwhile', async () => {
    const [one, other] = (await applied()) as [Shop, Shop];
    const [stays, redriven, earlier] = [await post(one), await post(one), await post(other)];
    for (const id of [stays, redriven, earlier]) live.poison.add(String(id));
    await live.catchUp();
    await expectServed([stays, redriven, earlier]);
    await live.redrive(earlier);
    let pending: Promise<void> | undefined;
    await rebuildDailySummaries(database, () => {
      // Some of it is folded: from here on a redrive has its effect on what is served, and not on what is built.
      pending ??= live.redrive(redriven);
    });
    await pending;
    await expectServed([stays]);
    await live.redrive(stays);
    await expectServed();
    await expectTidy(2);
  });

  test('goes no further than the live consumer, which applies the rest', async () => {
    const [one] = (await applied()) as [Shop];
    await post(one);
    const before = await sql(SERVED);
    await rebuildDailySummaries(database);
    expect(await sql(SERVED)).toEqual(before);
    await live.catchUp();
    await expectServed();
  });

  test('is refused while another one is at work, which it leaves alone', async () => {
    await applied();
    let second: Promise<unknown> | undefined;
    await rebuildDailySummaries(database, () => {
      second ??= rebuildDailySummaries(ledger.database).catch((error: unknown) => error);
    });
    expect(await second).toBeInstanceOf(RebuildRefused);
    await expectServed();
    await expectTidy(2);
  });

  test('of a database that no consumer has ever read is an empty one', async () => {
    await post(await shop());
    await rebuildDailySummaries(database);
    expect(await sql(SERVED)).toEqual([]);
    await live.catchUp();
    await expectServed();
  });
});

describe('npm run projections', () => {
  const { execArgv = [] } = sourceProcess();
  const CLI = fileURLToPath(new URL('../libs/summaries/src/projections-cli.ts', import.meta.url));
  const run = async (...words: string[]): Promise<{ code: number; said: string }> => {
    const child = spawn(process.execPath, [...execArgv, CLI, ...words], {
      env: { PATH: process.env.PATH, DATABASE_RUNTIME_URL: on.runtimeUrl },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: string[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => said.push(String(chunk)));
    const [code] = await once(child, 'close');
    return { code, said: said.join('') };
  };

  test('rebuilds what it is told to, and says by its exit code what came of it', async () => {
    await applied();
    const done = await run('rebuild', 'daily_summaries');
    expect(done).toMatchObject({ code: 0, said: expect.stringMatching(/served from generation 2: [1-9]\d* events/) });
    await expectServed();
    await sql(`UPDATE projections SET claimed_until = now() + interval '1 minute'`);
    const refused = await run('rebuild', 'daily_summaries');
    expect(refused).toMatchObject({ code: 1, said: expect.stringContaining('another process') });
    expect((await run('rebuild', 'balances')).code).toBe(2);
    expect((await run()).code).toBe(2);
  });
});

/** A process that dies at its nth transaction: nothing after that reaches the database. */
class Dying extends Database {
  left = Number.POSITIVE_INFINITY;

  override transaction<T>(
    scope: Scope,
    deadline: Deadline,
    work: (client: TransactionClient) => Promise<T>,
  ): Promise<T> {
    this.left -= 1;
    if (this.left < 0) return Promise.reject(new Error('died'));
    return super.transaction(scope, deadline, work);
  }
}

/** A process that stands still before its next transaction once it is tired, until it is woken. */
class Sleeping extends Database {
  readonly asleep = Promise.withResolvers<void>();
  readonly woken = Promise.withResolvers<void>();
  isTired = false;

  override async transaction<T>(
    scope: Scope,
    _deadline: Deadline,
    work: (client: TransactionClient) => Promise<T>,
  ): Promise<T> {
    if (this.isTired) {
      this.asleep.resolve();
      await this.woken.promise;
    }
    return super.transaction(scope, Deadline.after(5_000), work);
  }
}

describe('a rebuild that is killed', () => {
  let dying: Dying;
  beforeEach(() => {
    dying = open(Dying);
  });
  afterEach(() => dying.close());

  /** As 30 s of silence do it. */
  const letClaimRunOut = () => sql('UPDATE projections SET claimed_until = to_timestamp(0)');

  test('at any transaction leaves what is served, and can be started again', { timeout: 120_000 }, async () => {
    const shops = await applied(2);
    for (let transactions = 0; ; transactions += 1) {
      dying.left = transactions;
      const outcome = await rebuildDailySummaries(dying).catch((error: Error) => error);
      await expectFold();
      await post(shops[transactions % shops.length] as Shop);
      await live.catchUp();
      await expectFold();
      await letClaimRunOut();
      if (outcome instanceof Error) continue;
      // It ended: only the claim was left to be given up.
      expect(transactions).toBeGreaterThan(8);
      break;
    }
    const { generation } = await rebuildDailySummaries(database);
    await expectServed();
    await expectTidy(generation);
  });

  test.each(['while it folds', 'before it changes generations'])(
    '%s, and wakes up after another one has begun, changes nothing any more',
    async (when) => {
      await applied();
      const [{ events: all }] = (await sql<{ events: number }>('SELECT count(*)::int AS events FROM events')) as [
        { events: number },
      ];
      const [first, second] = [open(Sleeping), open(Sleeping)];
      const late = rebuildDailySummaries(first, (events) => {
        first.isTired = when === 'while it folds' || events === all;
      }).catch((error: Error) => error);
      await first.asleep.promise;
      await letClaimRunOut();
      const rebuilding = rebuildDailySummaries(second, () => {
        second.isTired = true;
      });
      await second.asleep.promise;
      first.woken.resolve();
      expect(await late).toBeInstanceOf(Error);
      expect(await sql('SELECT merchant_id FROM daily_summaries WHERE generation = 2')).toEqual([]);
      second.woken.resolve();
      expect((await rebuilding).generation).toBe(3);
      await expectServed();
      await expectTidy(3);
      await Promise.all([first.close(), second.close()]);
    },
  );
});
