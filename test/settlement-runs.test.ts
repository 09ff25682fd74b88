import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { problemDocument } from '#kernel/problem.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { Queues } from '#platform/queues.js';
import { NightQueue, RANGES_LINKED } from '#settlement/runs/night-queue.js';
import { purgeRuns } from '#settlement/runs/purge-runs.js';
import { beginRange, completeRange, type Range } from '#settlement/runs/range-store.js';
import { type Answer, type Json, type Merchant, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { keepSpans } from './support/kept-spans.js';
import { until } from './support/until.js';

const DAY = '2026-11-20';
const RANGE = 3;
const TRACED = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`;

let api: TestApi;
let bystander: Bystander;
let queues: Queues;
let shops: Merchant[];

beforeAll(async () => {
  api = await TestApi.start({
    environment: { REDIS_QUEUE_URL: inject('redisQueueUrl'), SETTLEMENT_RANGE_MERCHANTS: String(RANGE) },
  });
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
  queues = new Queues(inject('redisQueueUrl'), api.on.runtimeUrl);
  shops = await Promise.all(Array.from({ length: 2 * RANGE + 1 }, () => api.merchant()));
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await queues.queue('night').obliterate({ force: true });
  await Promise.all([bystander.close(), queues.close()]);
  await api.stop();
});

const start = (body: object, key?: string): Promise<Answer> =>
  api.operator.post('/v1/settlement_runs', { body, ...(key !== undefined && { key }) });
const named = (...merchants: Merchant[]) => ({ business_date: DAY, merchant_ids: merchants.map(({ id }) => id) });
const rangesOf = async (id: string): Promise<string[][]> => {
  const text = 'SELECT merchant_ids::text[] AS ids FROM settlement_ranges WHERE run_id = $1 ORDER BY range';
  return (await bystander.client.query(text, [id])).rows.map(({ ids }) => ids);
};
const jobIds = async (): Promise<(string | undefined)[]> =>
  (await queues.view('night').getJobs(['waiting', 'prioritized'])).map((job) => job.id);

describe('a run', () => {
  test('of some merchants is in ranges of them, each of which is a job', async () => {
    const { status, body } = await start(named(...shops.slice(0, RANGE + 1)));
    expect(status).toBe(202);
    expect(body).toMatchObject({
      business_date: DAY,
      asked_by: 'operator',
      status: 'queued',
      merchants: { total: RANGE + 1, settled: 0, empty: 0, not_due: 0, failed: 0 },
      rate: null,
      eta: null,
      errors: [],
      started_at: null,
      finished_at: null,
    });
    const ids = shops.slice(0, RANGE + 1).map(({ id }) => id);
    const sorted = ids.toSorted((one, other) => (BigInt(one) < BigInt(other) ? -1 : 1));
    expect(await rangesOf(body.id)).toEqual([sorted.slice(0, RANGE), sorted.slice(RANGE)]);
    const expected = [`settle-${body.id}-0`, `settle-${body.id}-1`];
    await until('its jobs are there', async () => expected.every((id) => jobIds().then((ids) => ids.includes(id))));
    expect(await jobIds()).toEqual(expect.arrayContaining(expected));
    expect((await api.operator.get(`/v1/settlement_runs/${body.id}`)).body).toEqual(body);
  });

  test('of all merchants has each of them once', async () => {
    const { body } = await start({ business_date: DAY });
    const ranges = await rangesOf(body.id);
    expect(ranges.map(({ length }) => length)).toEqual([RANGE, RANGE, 1]);
    expect(ranges.flat().sort()).toEqual(shops.map(({ id }) => id).sort());
    expect(body.merchants.total).toBe(shops.length);
  });

  test('is made once for a key, and so are its jobs', async () => {
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 4 }, () => start(named(shops[0] as Merchant), key)));
    const [id, ...others] = new Set(answers.map(({ body }) => body.id));
    expect([answers.map(({ status }) => status), others]).toEqual([[202, 202, 202, 202], []]);
    expect(await rangesOf(id)).toEqual([[shops[0]?.id]]);
    await until('its job is there', async () => (await jobIds()).includes(`settle-${id}-0`));
    const runs = (await bystander.client.query('SELECT FROM settlement_runs WHERE id = $1', [id])).rowCount;
    expect(runs).toBe(1);
  });

  test('of more ranges than are added at once has a job for each of them', async () => {
    const ranges = [...Array(2_001).keys()];
    await api.app.get(NightQueue).add(7n, ranges, TRACED);
    const own = (await jobIds()).filter((id) => id?.startsWith('settle-7-'));
    expect(own.sort()).toEqual(ranges.map((range) => `settle-7-${range}`).sort());
    // A run's trace holds so many of its jobs.
    const night = queues.view('night');
    const places = [0, RANGES_LINKED - 1, RANGES_LINKED];
    const jobs = await Promise.all(places.map((range) => night.getJob(`settle-7-${range}`)));
    expect(jobs.map((job) => job?.opts.telemetry?.metadata)).toEqual([TRACED, TRACED, undefined]);
  });

  test('is there without Redis, and asks nobody to wait for it', async () => {
    const away = await TestApi.start({ on: api.on, environment: { REDIS_QUEUE_URL: 'redis://127.0.0.1:1' } });
    const { status, body } = await away.operator.post('/v1/settlement_runs', { body: named(shops[0] as Merchant) });
    expect([status, body.status]).toEqual([202, 'queued']);
    await away.stop();
  });

  test('has a trace of its own, linked to the request', async () => {
    const { exporter, telemetry } = keepSpans();
    const traced = await TestApi.start({ on: api.on });
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const ask = { body: named(shops[0] as Merchant), headers: { traceparent } };
    const { body, headers } = await traced.operator.post('/v1/settlement_runs', ask);
    const span = exporter.getFinishedSpans().find(({ name }) => name === 'settlement run');
    expect(span?.spanContext().traceId).toBe(body.trace_id);
    expect(headers.get('traceresponse')).not.toContain(body.trace_id);
    expect(span?.links).toHaveLength(1);
    await traced.stop();
    await telemetry.shutdown();
  });
});

describe('of a range', () => {
  const soon = () => Deadline.after(20_000);
  const outcome = {
    counts: { settled: RANGE, empty: 0, not_due: 0, failed: 0 },
    errors: undefined,
    unsettled: [],
  };
  let database: Database;
  beforeAll(() => {
    database = new Database(api.on.runtimeUrl, { poolSize: 6, connectTimeoutMs: 5_000, applicationName: 'test' });
  });
  afterAll(() => database.close());
  const rangesOfTwo = async (): Promise<Range[]> => {
    const { body } = await start(named(...shops.slice(0, 2 * RANGE)));
    const begun = [0, 1].map((range) => beginRange(database, { runId: BigInt(body.id), range }, soon()));
    return (await Promise.all(begun)).filter((range) => range !== undefined);
  };
  const runOf = async ([first]: Range[]) => (await api.operator.get(`/v1/settlement_runs/${first?.runId}`)).body;

  test('it is written down once what came of it, whoever worked on it', async () => {
    const ranges = await rangesOfTwo();
    const [first] = ranges as [Range, Range];
    const completed = await Promise.all([1, 2, 3].map(() => completeRange(database, first, outcome, soon())));
    expect(completed.filter((status) => status !== undefined)).toEqual(['running']);
    expect(await runOf(ranges)).toMatchObject({ status: 'running', merchants: { settled: RANGE }, finished_at: null });
    expect(await beginRange(database, first, soon())).toBeUndefined();
  });

  test('it is seen by the last one that the run is over, also where two end at once', async () => {
    const ranges = await rangesOfTwo();
    await bystander.client.query('BEGIN');
    await bystander.client.query('SELECT FROM settlement_runs WHERE id = $1 FOR UPDATE', [ranges[0]?.runId]);
    const both = Promise.all(ranges.map((range) => completeRange(database, range, outcome, soon())));
    await until('both wait', async () => {
      const { waiting } = await bystander.one<{ waiting: number }>(
        `SELECT count(*)::int AS waiting FROM pg_locks l JOIN pg_stat_activity a USING (pid)
          WHERE NOT l.granted AND a.datname = current_database()`,
      );
      return waiting === 2;
    });
    await bystander.release();
    expect((await both).toSorted()).toEqual(['completed', 'running']);
    expect(await runOf(ranges)).toMatchObject({ status: 'completed', merchants: { settled: 2 * RANGE } });
  });

  test('errors are shown in the order of ranges, so many of them, and counted all', async () => {
    const ranges = await rangesOfTwo();
    const problem = problemDocument({ code: 'internal', detail: 'Nobody knows.' });
    const idOf = (range: number, place: number) => String(1_000 * (range + 1) + place);
    for (const range of ranges.toReversed()) {
      const errors = Array.from({ length: 60 }, (_, place) => ({ merchant_id: idOf(range.range, place), problem }));
      const counts = { ...outcome.counts, settled: 0, failed: RANGE };
      await completeRange(database, range, { ...outcome, counts, errors: JSON.stringify(errors) }, soon());
    }
    const { errors, merchants } = await runOf(ranges);
    const all = [0, 1].flatMap((range) => Array.from({ length: 60 }, (_, place) => idOf(range, place)));
    expect(errors.map(({ merchant_id }: Json) => merchant_id)).toEqual(all.slice(0, 100));
    expect(merchants.failed).toBe(2 * RANGE);
  });

  describe('of a run that was asked for long ago', () => {
    const DAY_MS = 86_400_000;
    const inTwoDays = () => Date.now() + 2 * DAY_MS;

    test('nothing is kept once the run is over, and all of it until then', async () => {
      const [over, open] = [await rangesOfTwo(), await rangesOfTwo()] as [Range[], Range[]];
      for (const range of [...over, open[0] as Range]) await completeRange(database, range, outcome, soon());
      const [gone, kept] = [over, open].map(([range]) => String(range?.runId)) as [string, string];
      expect(await purgeRuns(database, DAY_MS, Date.now())).toBe(0);
      expect(await rangesOf(gone)).toHaveLength(2);
      expect(await purgeRuns(database, DAY_MS, inTwoDays())).toBeGreaterThanOrEqual(1);
      expect(await rangesOf(gone)).toEqual([]);
      expect((await api.operator.get(`/v1/settlement_runs/${gone}`)).status).toBe(404);
      expect(await rangesOf(kept)).toHaveLength(2);
      expect(await runOf(open)).toMatchObject({ status: 'running' });
      // Somebody who slept through it changes nothing.
      expect(await completeRange(database, over[0] as Range, outcome, soon())).toBeUndefined();
    });

    test('nothing is kept of many of them either', async () => {
      await bystander.client.query(
        `INSERT INTO settlement_runs (id, business_date, asked_by, named, status, created_at, finished_at)
         SELECT n, $1, 'schedule', true, 'completed', snowflake_time(n), now() FROM generate_series(1, 250) n`,
        [DAY],
      );
      expect(await purgeRuns(database, DAY_MS, Date.now())).toBe(250);
    });
  });
});

describe('is refused, with nothing written:', () => {
  const tomorrow = new Date(Date.now() + 14 * 3_600_000 + 86_400_000).toISOString().slice(0, 10);
  const stranger = '251658240000004096';
  const cases: [string, (ids: string[]) => object, string][] = [
    ['a day that has begun nowhere', () => ({ business_date: tomorrow }), 'business_date'],
    ['what is no day', () => ({ business_date: '2026-02-30' }), 'business_date'],
    ['no day', () => ({}), 'business_date'],
    ['nobody', () => ({ business_date: DAY, merchant_ids: [] }), 'merchant_ids'],
    ['somebody twice', ([id]) => ({ business_date: DAY, merchant_ids: [id, id] }), 'merchant_ids'],
    ['a merchant there is not', ([id]) => ({ business_date: DAY, merchant_ids: [id, stranger] }), 'merchant_ids.1'],
    ['an id that is none', () => ({ business_date: DAY, merchant_ids: ['x'] }), 'merchant_ids.0'],
    ['a field that nobody knows', () => ({ business_date: DAY, force: true }), 'force'],
  ];

  test.each(cases)('%s', async (_, bodyOf, path) => {
    const before = await api.countRows();
    const { status, body } = await start(bodyOf(shops.map(({ id }) => id)), randomUUID());
    expect([status, body.code, body.errors[0].path]).toEqual([422, 'validation_failed', path]);
    expect(await api.countRows()).toEqual(before);
  });

  test('today where days begin first is no day of the future', async () => {
    const today = new Date(Date.now() + 14 * 3_600_000).toISOString().slice(0, 10);
    expect((await start({ business_date: today })).status).toBe(202);
  });

  test('whoever is no operator', async () => {
    const { client } = shops[0] as Merchant;
    expect((await client.post('/v1/settlement_runs', { body: { business_date: DAY } })).body.code).toBe('forbidden');
    expect((await client.get('/v1/settlement_runs')).body.code).toBe('forbidden');
    expect((await client.get('/v1/settlement_runs/1')).body.code).toBe('forbidden');
  });
});

test('runs are listed newest first, page by page', async () => {
  const { body: newest } = await start(named(shops[0] as Merchant));
  const first: Json = (await api.operator.get('/v1/settlement_runs?limit=2')).body;
  expect([first.data[0].id, first.has_more]).toEqual([newest.id, true]);
  const second: Json = (await api.operator.get(`/v1/settlement_runs?limit=2&cursor=${first.next_cursor}`)).body;
  const ids = [...first.data, ...second.data].map(({ id }: Json) => BigInt(id));
  expect(ids).toEqual(ids.toSorted((one, other) => (one > other ? -1 : 1)));
  expect((await api.operator.get('/v1/settlement_runs/251658240000004096')).body.code).toBe('not_found');
});

test('a run of nobody is over at once', async () => {
  const empty = await TestApi.start();
  const { body } = await empty.operator.post('/v1/settlement_runs', { body: { business_date: DAY } });
  expect(body).toMatchObject({ status: 'completed', merchants: { total: 0 }, rate: null, eta: null });
  expect(body.finished_at).not.toBeNull();
  await empty.stop();
});
