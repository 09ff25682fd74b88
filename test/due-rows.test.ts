import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ProblemError } from '#kernel/problem.js';
import { Deadline } from '#platform/deadline.js';
import { DueBacklogModule } from '#platform/due-backlog.module.js';
import { type DueRow, DueRows, enqueueDue, LONGEST_WAIT_MS, postponeDue, removeDue } from '#platform/due-rows.js';
import { type DueKind, DueWork } from '#platform/due-work.js';
import { Metrics } from '#platform/metrics.js';
import { Database, type Query } from '#platform/postgres.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { readingOf } from './support/metrics.js';
import { until } from './support/until.js';

const KIND = 'a test';
const HOUR_MS = 3_600_000;
const [SHOP, STALL] = [1n, 2n] as [bigint, bigint];
const OPTIONS = { page: 200, lookAhead: 1_000, leaseMs: 30_000 };
const soon = () => Deadline.after(10_000);

describe('due rows', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let one: Database;
  let other: Database;
  let rows: DueRows;

  beforeAll(async () => {
    on = await freshDatabase();
    bystander = await Bystander.open(on);
    const open = () => new Database(on.runtimeUrl, { poolSize: 4, connectTimeoutMs: 10_000, applicationName: 'test' });
    [one, other] = [open(), open()];
    rows = new DueRows(one, KIND);
  });
  afterAll(async () => {
    await Promise.all([one.close(), other.close(), bystander.close()]);
    await on.drop();
  });
  afterEach(() => bystander.client.query('DELETE FROM due_rows'));

  const write = (query: Query, merchantIds: readonly bigint[] = [SHOP, STALL]) =>
    one.write({ merchantIds }, soon(), query);
  const due = (subjectId: bigint, dueAtMs: number, merchantId = SHOP) => ({ merchantId, subjectId, dueAtMs });
  /** Some seconds ago, so that the clocks of this machine's processes do not matter. */
  const past = (ms = 0): number => Date.now() - 5_000 - ms;
  const claim = () => rows.claim(OPTIONS, soon());
  const subjects = (claimed: readonly DueRow[]) => claimed.map(({ subjectId }) => subjectId).sort();
  const stored = async (subjectId: bigint) =>
    (
      await bystander.client.query(
        `SELECT attempts, last_error AS error, round(extract(epoch FROM try_at - now()))::int AS wait_s
           FROM due_rows WHERE subject_id = $1`,
        [subjectId],
      )
    ).rows[0];
  const passes = (ms: number) =>
    bystander.client.query(`UPDATE due_rows SET try_at = try_at - $1::int * interval '1 ms'`, [ms]);

  describe('in a transaction', () => {
    test('are there when it commits, and not when it does not', async () => {
      const rolledBack = one.transaction({ merchantIds: [SHOP] }, soon(), async (client) => {
        await client.query(enqueueDue(KIND, [due(1n, past())]));
        throw new Error('changed my mind');
      });
      await expect(rolledBack).rejects.toThrow('changed my mind');
      await write(enqueueDue(KIND, [due(2n, past())]));
      expect(subjects(await claim())).toEqual([2n]);
    });

    test('go as they came', async () => {
      await write(enqueueDue(KIND, [due(1n, past()), due(2n, past()), due(1n, past(), STALL)]));
      await write(removeDue(KIND, [{ merchantId: SHOP, subjectId: 1n }]));
      await write(removeDue('another kind', [{ merchantId: SHOP, subjectId: 2n }]));
      expect((await claim()).map(({ merchantId, subjectId }) => [merchantId, subjectId]).sort()).toEqual([
        [SHOP, 2n],
        [STALL, 1n],
      ]);
    });

    test('wait, each failure longer, where somebody works on them without a claim: those that are due, and no others', async () => {
      const later = Date.now() + HOUR_MS;
      await write(enqueueDue(KIND, [due(1n, past()), due(2n, later), due(3n, past())]));
      const failed = (error?: string) =>
        write(
          postponeDue(
            KIND,
            [1n, 2n].map((subjectId) => ({ merchantId: SHOP, subjectId, error })),
          ),
        );
      await failed('not yet');
      expect(await stored(1n)).toEqual({ attempts: 1, error: 'not yet', wait_s: 10 });
      expect(await stored(2n)).toMatchObject({ attempts: 0, error: null });
      expect(await stored(3n)).toMatchObject({ attempts: 0, error: null });
      await failed();
      expect(await stored(1n)).toEqual({ attempts: 2, error: 'not yet', wait_s: 20 });
      for (let times = 0; times < 30; times += 1) await failed();
      expect(await stored(1n)).toMatchObject({ attempts: 32, wait_s: LONGEST_WAIT_MS / 1_000 });
    });

    test('are taken away by their key, also by a plan that was made while nothing was due', async () => {
      const keys = Array.from({ length: 100 }, (_, index) => ({ merchantId: SHOP, subjectId: BigInt(index) }));
      // As in a commit group.
      const settings = ['plan_cache_mode=force_generic_plan', 'enable_seqscan=off', 'enable_bitmapscan=off'];
      const client = new pg.Client({
        connectionString: on.ownerUrl,
        options: settings.map((setting) => `-c ${setting}`).join(' '),
      });
      await client.connect();
      try {
        await client.query(removeDue(KIND, keys));
        await bystander.client.query(
          `INSERT INTO due_rows (merchant_id, kind, subject_id, due_at, try_at)
           SELECT $1, $2, id, '2100-01-01Z', '2100-01-01Z' FROM generate_series(0, 4999) AS id`,
          [SHOP, KIND],
        );
        const text = `SELECT sum(idx_tup_read)::int AS read FROM pg_stat_user_indexes WHERE relname = 'due_rows'`;
        const flushed = async () => {
          await client.query('SELECT pg_stat_force_next_flush()');
          return (await client.query(text)).rows[0].read;
        };
        const before = await flushed();
        await client.query(removeDue(KIND, keys));
        const read = (await flushed()) - before;
        expect(read).toBeGreaterThanOrEqual(keys.length);
        expect(read).toBeLessThanOrEqual(2 * keys.length);
      } finally {
        await client.end();
      }
      expect((await bystander.client.query('SELECT FROM due_rows')).rowCount).toBe(4_900);
    });

    test('of another merchant cannot be written', async () => {
      await expect(write(enqueueDue(KIND, [due(1n, past())]), [STALL])).rejects.toMatchObject({ code: '42501' });
    });

    test('keep their lease and their failures when they are enqueued again, and start anew at another time', async () => {
      const atMs = past();
      await write(enqueueDue(KIND, [due(1n, atMs)]));
      const [claimed] = (await claim()) as [DueRow];
      await rows.postpone([{ row: claimed, waitMs: HOUR_MS, attempts: 1, error: 'no' }], soon());
      await write(enqueueDue(KIND, [due(1n, atMs)]));
      expect(await stored(1n)).toEqual({ attempts: 1, error: 'no', wait_s: 3_600 });
      await write(enqueueDue(KIND, [due(1n, atMs + 1)]));
      expect(await stored(1n)).toMatchObject({ attempts: 0, error: null });
      expect(await claim()).toMatchObject([{ dueAtMs: atMs + 1, attempts: 1 }]);
    });
  });

  describe('are claimed', () => {
    test('when their time has come, oldest first, a page at a time', async () => {
      await write(
        enqueueDue(KIND, [due(3n, past(1)), due(1n, past(3)), due(2n, past(2)), due(4n, Date.now() + HOUR_MS)]),
      );
      await write(enqueueDue('another kind', [due(9n, past())]));
      const page = () => rows.claim({ ...OPTIONS, page: 2 }, soon());
      expect([subjects(await page()), subjects(await page()), await page()]).toEqual([[1n, 2n], [3n], []]);
    });

    test('by one of many processes each', async () => {
      const many = Array.from({ length: 500 }, (_, index) => due(BigInt(index), past(), index % 2 ? SHOP : STALL));
      await write(enqueueDue(KIND, many));
      const claimed = await Promise.all(
        Array.from({ length: 8 }, (_, index) => new DueRows(index % 2 ? one : other, KIND).claim(OPTIONS, soon())),
      );
      for (let more = await claim(); more.length > 0; more = await claim()) claimed.push(more);
      expect(claimed.flat()).toHaveLength(500);
      expect(new Set(subjects(claimed.flat())).size).toBe(500);
      expect(claimed.flat().every(({ attempts }) => attempts === 1)).toBe(true);
    });

    test('with merchants in turn: much of one leaves room for another, whose rows are due later', async () => {
      const many = Array.from({ length: 300 }, (_, index) => due(BigInt(index), past(1_000)));
      await write(enqueueDue(KIND, [...many, due(1n, past(), STALL)]));
      expect((await claim()).filter(({ merchantId }) => merchantId === STALL)).toHaveLength(1);
    });

    test('but for those that somebody is changing: nobody waits for them', async () => {
      await write(enqueueDue(KIND, [due(1n, past()), due(2n, past())]));
      await bystander.client.query('BEGIN; DELETE FROM due_rows WHERE subject_id = 1');
      try {
        expect(subjects(await claim())).toEqual([2n]);
      } finally {
        await bystander.client.query('ROLLBACK');
      }
    });

    test('again when a lease has ended, and whoever slept past it settles nothing', async () => {
      await write(enqueueDue(KIND, [due(1n, past()), due(2n, past())]));
      const [asleep] = [await claim()];
      expect(await claim()).toEqual([]);
      await passes(OPTIONS.leaseMs);
      expect((await claim()).map(({ attempts }) => attempts)).toEqual([2, 2]);
      await rows.done(asleep, soon());
      await rows.postpone(
        asleep.map((row) => ({ row, waitMs: HOUR_MS, attempts: 0, error: 'late' })),
        soon(),
      );
      expect([await stored(1n), await stored(2n)]).toEqual(Array(2).fill({ attempts: 2, error: null, wait_s: 30 }));
    });

    test('and put off each for its own time, whichever of them are still claimed', async () => {
      await write(enqueueDue(KIND, [due(1n, past(3)), due(2n, past(2)), due(3n, past(1))]));
      const [one, two, three] = (await claim()) as [DueRow, DueRow, DueRow];
      await write(removeDue(KIND, [one]));
      const putOff = [
        { row: three, waitMs: HOUR_MS, attempts: 1, error: 'three' },
        { row: one, waitMs: 120_000, attempts: 7, error: 'one' },
        { row: two, waitMs: 600_000, attempts: 0, error: undefined },
      ];
      await rows.postpone(putOff, soon());
      expect([await stored(1n), await stored(2n), await stored(3n)]).toEqual([
        undefined,
        { attempts: 0, error: null, wait_s: 600 },
        { attempts: 1, error: 'three', wait_s: 3_600 },
      ]);
    });

    test('and put to another time as new rows, unless they got one of their own meanwhile, or went', async () => {
      const [atMs, laterMs] = [past(), Date.now() + HOUR_MS];
      await write(enqueueDue(KIND, [due(1n, atMs), due(2n, atMs), due(3n, atMs)]));
      const claimed = await claim();
      await write(enqueueDue(KIND, [due(2n, atMs + 1)]));
      await write(removeDue(KIND, [{ merchantId: SHOP, subjectId: 3n }]));
      await rows.reschedule(
        claimed.map((row) => ({ row, dueAtMs: laterMs })),
        soon(),
      );
      const left = await bystander.client.query(
        `SELECT subject_id::int AS subject, attempts, due_at = try_at AS is_new,
                round(extract(epoch FROM due_at) * 1000)::float8 AS due_ms FROM due_rows ORDER BY subject_id`,
      );
      expect(left.rows).toEqual([
        { subject: 1, attempts: 0, is_new: true, due_ms: laterMs },
        { subject: 2, attempts: 0, is_new: true, due_ms: atMs + 1 },
      ]);
    });

    test('and not taken away when they got another time meanwhile', async () => {
      const atMs = past();
      await write(enqueueDue(KIND, [due(1n, atMs)]));
      const claimed = await claim();
      await write(enqueueDue(KIND, [due(1n, atMs + 1)]));
      await claim();
      await rows.done(claimed, soon());
      expect(await stored(1n)).toMatchObject({ attempts: 1 });
    });
  });

  describe('are worked off', () => {
    /** Work on subjects that fail, are not ready, or succeed. */
    const workOf = (run: DueKind['run'], database = one) => new DueWork(database, { name: KIND, run });
    const failing = (...ids: bigint[]) =>
      workOf(async ({ subjectId }) => {
        if (ids.includes(subjectId)) throw new Error(`${subjectId} is broken\0`);
        return 'done';
      });

    test('and are gone', async () => {
      await write(enqueueDue(KIND, [due(1n, past()), due(2n, past(), STALL), due(3n, Date.now() + HOUR_MS)]));
      const work = failing();
      expect([await work.round(), work.nextInMs, await work.round()]).toEqual([2, 0, 0]);
      expect((await bystander.client.query('SELECT subject_id FROM due_rows')).rows).toMatchObject([
        { subject_id: '3' },
      ]);
    });

    test('and stay, where there is more to be done later', async () => {
      const laterMs = Date.now() + HOUR_MS;
      await write(enqueueDue(KIND, [due(1n, past()), due(2n, past())]));
      const work = workOf(async ({ subjectId }) => (subjectId === 1n ? { againAtMs: laterMs } : 'done'));
      expect([await work.round(), work.failures]).toEqual([2, 0]);
      expect((await bystander.client.query('SELECT subject_id FROM due_rows')).rows).toEqual([{ subject_id: '1' }]);
      expect(await stored(1n)).toMatchObject({ attempts: 0, error: null });
      await work.round();
      expect(work.nextInMs).toBeGreaterThan(HOUR_MS - 60_000);
    });

    test('no more of them at once than their kind allows', async () => {
      await write(
        enqueueDue(
          KIND,
          Array.from({ length: 7 }, (_, index) => due(BigInt(index), past())),
        ),
      );
      const [counts, run] = [[] as number[], async () => 'done' as const];
      const work = new DueWork(one, { name: KIND, atOnce: 3, run });
      while (counts.at(-1) !== 0) counts.push(await work.round());
      expect(counts).toEqual([3, 3, 1, 0]);
    });

    test('one that fails waits for its own retry, longer each time and never for ever, and costs nobody a turn', async () => {
      await write(enqueueDue(KIND, [due(1n, past(9)), due(2n, past()), due(3n, past())]));
      const work = failing(1n);
      expect([await work.round(), work.failures]).toEqual([2, 1]);
      const waits = [await stored(1n)];
      for (let failures = 2; failures <= 9; failures += 1) {
        await work.round();
        expect(work.failures).toBe(failures - 1);
        await passes(1_000 * waits.at(-1).wait_s + 1_000);
        await work.round();
        waits.push(await stored(1n));
      }
      expect(waits.map(({ wait_s }) => wait_s)).toEqual([10, 20, 40, 80, 160, 320, 600, 600, 600]);
      expect(waits.at(-1)).toMatchObject({ attempts: 9, error: '1 is broken' });
    });

    test('one whose work does not end has failed when its time is over, and holds up no round', async () => {
      await write(enqueueDue(KIND, [due(1n, past(9)), due(2n, past())]));
      const begun = Promise.withResolvers<void>();
      const work = workOf(async ({ subjectId }) => {
        if (subjectId === 2n) return 'done';
        begun.resolve();
        return new Promise(() => undefined);
      });
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      try {
        const round = work.round();
        await begun.promise;
        vi.advanceTimersByTime(10_000);
        expect(await round).toBe(1);
      } finally {
        vi.useRealTimers();
      }
      expect(work.failures).toBe(1);
      expect(await stored(1n)).toMatchObject({ attempts: 1, error: expect.stringContaining('deadline') });
    });

    test.each(['database_unavailable', 'overloaded'] as const)(
      'one that is not ready, or meets %s, is tried again in a moment: that was no failure',
      async (code) => {
        await write(enqueueDue(KIND, [due(1n, past()), due(2n, past())]));
        const work = workOf(async ({ subjectId }) => {
          if (subjectId === 1n) return 'not yet';
          throw new ProblemError(code, 'not now');
        });
        await expect(work.round()).rejects.toMatchObject({ code });
        // Whoever asks again at once asks a database that is away.
        expect([work.failures, work.nextInMs]).toEqual([0, undefined]);
        expect([await stored(1n), await stored(2n)]).toMatchObject(Array(2).fill({ attempts: 0, error: null }));
        const well = failing();
        let done = 0;
        await until('both are done', async () => {
          done += await well.round();
          return done === 2;
        });
      },
    );

    test('and it is known when the next one is due, of whichever merchant', async () => {
      const work = failing(1n);
      await write(enqueueDue('another kind', [due(9n, past())]));
      expect(work.nextInMs).toBe(0);
      await work.round();
      expect(work.nextInMs).toBeUndefined();
      await write(enqueueDue(KIND, [due(1n, Date.now() + 2 * HOUR_MS), due(2n, Date.now() + HOUR_MS, STALL)]));
      await work.round();
      expect(work.nextInMs).toBeGreaterThan(HOUR_MS - 60_000);
      expect(work.nextInMs).toBeLessThanOrEqual(HOUR_MS + 1_000);
      await passes(2 * HOUR_MS + 1_000);
      await work.round();
      expect(work.nextInMs).toBe(0);
      await work.round();
      expect(work.nextInMs).toBeGreaterThan(5_000);
      expect(work.nextInMs).toBeLessThanOrEqual(10_000);
    });
  });

  test('are told when their time has come and they are not done: how many of each kind, and since when', async () => {
    const tomorrow = Date.now() + 24 * HOUR_MS;
    await write(enqueueDue(KIND, [due(1n, past(HOUR_MS)), due(2n, past(), STALL), due(3n, Date.now() + 60_000)]));
    await write(enqueueDue('another kind', [due(9n, past()), due(8n, tomorrow)]));
    await write(enqueueDue('a third', [due(7n, Date.now() + 60_000)]));
    // One is at work, and the oldest has failed so often that it waits for as long as any.
    const claimed = await claim();
    const oldest = claimed.filter(({ subjectId }) => subjectId === 1n) as [DueRow];
    await rows.postpone([{ row: oldest[0], waitMs: LONGEST_WAIT_MS, attempts: 9, error: 'no' }], soon());
    // Without a port for metrics nobody looks.
    expect(new DueBacklogModule({ metricsPort: 0 }, one).duties()).toEqual([]);
    const backlog = new DueBacklogModule({ metricsPort: 1 }, one);
    await backlog.duties()[0]?.round();
    const metrics = new Metrics();
    backlog.addMetrics(metrics);
    const text = await metrics.text();
    const told = (name: string, kind: string) => readingOf(text, `counterfoil_due_rows_${name}{kind="${kind}"}`);
    expect([KIND, 'another kind', 'a third'].map((kind) => told('overdue', kind))).toEqual([2, 1, 0]);
    const ages = [KIND, 'another kind', 'a third'].map((kind) => told('overdue_seconds', kind) ?? -1);
    expect(ages[0]).toBeGreaterThan(3_600);
    expect(ages[1]).toBeLessThan(3_600);
    expect(ages[2]).toBe(0);
  });
});
