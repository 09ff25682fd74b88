import { INVALID_SPAN_CONTEXT, trace } from '@opentelemetry/api';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { Queues } from '#platform/queues.js';
import { makeDueRuns } from '#settlement/runs/due-runs.js';
import { NightQueue } from '#settlement/runs/night-queue.js';
import { Settler } from '#settlement/settler.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { daysAgo, finished, holdUp, owe, settle, settlementsOf, startRun } from './support/night.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';
import { startWorker } from './support/worker.js';

const [TODAY, YESTERDAY, BEFORE] = [daysAgo(0), daysAgo(1), daysAgo(2)];
const LIMIT_MS = 120_000;
const HOUR_MS = 3_600_000;
const SOON = { SETTLEMENT_INTERVAL_MS: '200', SETTLEMENT_RANGE_MERCHANTS: '2', SETTLEMENT_JOB_LOCK_MS: '1000' };

let redis: PrivateRedis;
let api: TestApi;
let bystander: Bystander;
let stop: () => Promise<void>;

beforeAll(async () => {
  redis = await privateRedis('queue');
});
afterAll(() => redis.stop());
beforeEach(async () => {
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: redis.url, ...SOON } });
  bystander = await Bystander.open(api.on);
  stop = async () => undefined;
});
afterEach(async () => {
  await stop();
  expect(api.errors).toEqual([]);
  await expectVerified(api.on);
  await bystander.close();
  await api.stop();
});

const work = async (): Promise<void> => {
  stop = await startWorker(api.on, { REDIS_QUEUE_URL: redis.url, ...SOON });
};
const shops = (count: number): Promise<Merchant[]> => Promise.all(Array.from({ length: count }, () => api.merchant()));
/** Settles the day before yesterday, so that yesterday is due: its cut-off has passed. */
const pass = async (merchants: readonly Merchant[]): Promise<void> => {
  await Promise.all(merchants.map((shop) => owe(shop, '10', BEFORE)));
  const ids = merchants.map(({ id }) => BigInt(id));
  const bounds = {
    deadline: Deadline.after(30_000),
    span: trace.wrapSpanContext(INVALID_SPAN_CONTEXT),
    cost: new Cost(),
  };
  const results = await api.app.get(Settler).settle(ids, BEFORE, bounds);
  expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['settled']));
  await Promise.all(merchants.map((shop) => owe(shop, '20', YESTERDAY)));
};
const dueOf = ({ id }: Merchant) =>
  bystander.one<{ due_at: Date; attempts: number; last_error: string | null; waits_s: number }>(
    `SELECT due_at, attempts, last_error, round(extract(epoch FROM try_at - now()))::int AS waits_s FROM due_rows
      WHERE merchant_id = $1 AND kind = 'settlement'`,
    [id],
  );
const runs = async (): Promise<Json[]> => (await api.operator.get('/v1/settlement_runs')).body.data;
const settled = (shop: Merchant): Promise<unknown> =>
  until('yesterday is settled', async () => (await settlementsOf(shop, `?business_date=${YESTERDAY}`)).length === 1);

describe('by schedule', () => {
  test(
    'a day is settled as its cut-off passes, and the next one is due at its end',
    async () => {
      const [due, other] = (await shops(2)) as [Merchant, Merchant];
      await owe(other, '10', YESTERDAY);
      await pass([due]);
      await work();
      await settled(due);
      expect((await settlementsOf(due))[0]).toMatchObject({ business_date: YESTERDAY, net: '20' });
      await until('the run is over', async () => (await runs())[0]?.finished_at);
      expect(await runs()).toEqual([
        expect.objectContaining({
          business_date: YESTERDAY,
          asked_by: 'schedule',
          status: 'completed',
          merchants: { total: 1, settled: 1, empty: 0, not_due: 0, failed: 0 },
        }),
      ]);
      expect(await settlementsOf(other)).toEqual([]);
      expect((await dueOf(due)).due_at.toISOString()).toBe(`${daysAgo(-1)}T00:00:00.000Z`);
      const look = await until('the look is noted down', async () => {
        const { data: jobs } = (await api.operator.get('/v1/jobs')).body;
        return jobs.find(({ name, runs: count }: Json) => name === 'settle what is due' && count > 0);
      });
      expect(look).toMatchObject({ kind: 'scheduler', every_ms: 200, failures: 0 });
    },
    LIMIT_MS,
  );

  test('schedulers that look at once put nobody in two runs', async () => {
    const merchants = await shops(9);
    await pass(merchants);
    const database = new Database(api.on.runtimeUrl, {
      poolSize: 12,
      connectTimeoutMs: 5_000,
      applicationName: 'test',
    });
    const parts = { database, ids: api.app.get(SnowflakeGenerator), rangeMerchants: 2 };
    const made = await Promise.all(Array.from({ length: 6 }, () => makeDueRuns(parts, Deadline.after(30_000))));
    expect(made.toSorted()).toEqual([0, 0, 0, 0, 0, 1]);
    const { ids } = await bystander.one<{ ids: string[] }>(
      'SELECT array_agg(id::text) AS ids FROM settlement_ranges CROSS JOIN unnest(merchant_ids) AS id',
    );
    expect(ids.sort()).toEqual(merchants.map(({ id }) => id).sort());
    await database.close();
  });

  test(
    'a merchant whose day cannot be settled waits longer each time, and holds up nobody',
    async () => {
      const merchants = (await shops(3)) as [Merchant, Merchant, Merchant];
      const [bad, ...good] = merchants;
      await pass(merchants);
      await bystander.client.query(`
        CREATE FUNCTION refuse_line() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison'; END $$;
        CREATE TRIGGER refuse_line BEFORE INSERT ON settlement_lines FOR EACH ROW WHEN (NEW.merchant_id = ${bad.id})
          EXECUTE FUNCTION refuse_line()`);
      await work();
      await Promise.all(good.map(settled));
      const failed = await until('he has been put off', async () => {
        const due = await dueOf(bad);
        return due.attempts > 0 && due;
      });
      expect(failed.last_error).toContain('poison');
      expect(failed.waits_s).toBeGreaterThan(0);
      const [run] = (await runs()).filter(({ merchants: { failed } }) => failed > 0);
      expect(run.errors).toEqual([
        { merchant_id: bad.id, problem: expect.objectContaining({ code: 'internal', status: 500 }) },
      ]);
      await bystander.client.query('DROP TRIGGER refuse_line ON settlement_lines');
      await bystander.client.query('UPDATE due_rows SET try_at = now() WHERE merchant_id = $1', [bad.id]);
      await settled(bad);
    },
    LIMIT_MS,
  );

  test(
    'a merchant in whose zone no day can be reckoned is in a run that says so, and is settled once it can be',
    async () => {
      const [bad, good] = (await shops(2)) as [Merchant, Merchant];
      await pass([bad, good]);
      const zone = (name: string) =>
        bystander.client.query('UPDATE merchants SET time_zone = $2 WHERE id = $1', [bad.id, name]);
      await zone('Mars/Olympus');
      await work();
      await settled(good);
      const failed = await until('he has been put off', async () => {
        const due = await dueOf(bad);
        return due.attempts > 0 && due;
      });
      expect(failed.last_error).toContain('Mars/Olympus');
      const [run] = (await runs()).filter(({ merchants: { failed } }) => failed > 0);
      expect(run.errors.map(({ merchant_id }: Json) => merchant_id)).toEqual([bad.id]);
      await zone('UTC');
      await bystander.client.query('UPDATE due_rows SET try_at = now() WHERE merchant_id = $1', [bad.id]);
      await settled(bad);
    },
    LIMIT_MS,
  );
});

test(
  'a queue that loses all it has in the middle of a run is filled again, and the run ends',
  async () => {
    const merchants = (await shops(8)) as [Merchant, ...Merchant[]];
    await Promise.all(merchants.map((shop) => owe(shop, '10', YESTERDAY)));
    const [held] = merchants;
    const { body } = await startRun(api, YESTERDAY, merchants);
    const queues = new Queues(redis.url, api.on.runtimeUrl);
    await until('its jobs are there', async () => (await queues.view('night').getPrioritizedCount()) === 4);
    await queues.close();
    await holdUp(bystander, held, work);
    await redis.restart();
    await bystander.release();
    const run = await finished(api, body.id);
    expect(run).toMatchObject({ status: 'completed', merchants: { total: 8, settled: 8 } });
    for (const shop of merchants) expect(await settlementsOf(shop)).toHaveLength(1);
    const queue = await until('the schedule is there again', async () => {
      const { queues: shown } = (await api.operator.get('/v1/jobs')).body;
      const night = shown?.find(({ name }: Json) => name === 'night');
      return night?.schedulers.length === 1 && night;
    });
    expect(queue.schedulers[0]).toMatchObject({ name: 'settle what is due', every_ms: 200 });
  },
  LIMIT_MS,
);

test(
  'looks that a worker with a clock far ahead has put off are made in time by the others',
  async () => {
    const now = Date.now;
    const ahead = vi.spyOn(Date, 'now').mockImplementation(() => now() + HOUR_MS);
    await api.app.get(NightQueue).keepSchedule(Number(SOON.SETTLEMENT_INTERVAL_MS));
    ahead.mockRestore();
    const queues = new Queues(redis.url, api.on.runtimeUrl);
    const next = async () => (await queues.view('night').getJobSchedulers())[0]?.next ?? 0;
    expect(await next()).toBeGreaterThan(now() + HOUR_MS / 2);
    await work();
    const near = await until('the next look is near', async () => {
      const atMs = await next();
      return atMs < now() + HOUR_MS / 2 && atMs;
    });
    await until('it is made, and another one is next', async () => (await next()) > near);
    expect(await next()).toBeLessThan(now() + HOUR_MS / 2);
    await queues.close();
  },
  LIMIT_MS,
);

test(
  'a run that was asked for while Redis was away begins when it is back',
  async () => {
    const [shop] = (await shops(1)) as [Merchant];
    await owe(shop, '10', YESTERDAY);
    await work();
    let id = '';
    await redis.crash(async () => {
      const { status, body } = await startRun(api, YESTERDAY, [shop]);
      expect([status, body.status]).toEqual([202, 'queued']);
      id = body.id;
    });
    expect(await finished(api, id)).toMatchObject({ status: 'completed', merchants: { settled: 1 } });
    expect((await settle(api, TODAY, [shop])).merchants.not_due).toBe(1);
  },
  LIMIT_MS,
);
