import { Module } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { enqueueDue } from '#platform/due-rows.js';
import type { DutyPlan } from '#platform/duty.js';
import { JobRuns } from '#platform/job-runs.js';
import { Database } from '#platform/postgres.js';
import type { BringsDuties } from '#platform/room-hooks.js';
import { queuesOf, ROOMS } from '../apps/rooms.js';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { Contract } from './support/contract.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';
import { startWorker } from './support/worker.js';

const HOUR_MS = 3_600_000;
const ERROR = 'out of order';

/** One duty that works, one that fails, and one whose time does not come. */
@Module({})
class TriedModule implements BringsDuties {
  duties(): readonly DutyPlan[] {
    const round = async (): Promise<void> => undefined;
    const fail = () => Promise.reject(new Error(ERROR));
    return [
      { name: 'tried: works', intervalMs: 10, round },
      { name: 'tried: fails', intervalMs: 10, round: fail },
      { name: 'tried: hourly', intervalMs: HOUR_MS, round },
    ];
  }
}

let api: TestApi;
let bystander: Bystander;
let database: Database;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: inject('redisQueueUrl') } });
  await Contract.hold(api);
  bystander = await Bystander.open(api.on);
  database = open(api.on.runtimeUrl);
  shop = await api.merchant();
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await bystander.client.query('DELETE FROM job_runs');
});
afterAll(async () => {
  await Promise.all([database.close(), bystander.close()]);
  await api.stop();
});

const open = (url: string) => new Database(url, { poolSize: 2, connectTimeoutMs: 5_000, applicationName: 'test' });
const jobs = async (): Promise<Json> => (await api.operator.get('/v1/jobs')).body;
const jobNamed = async (name: string): Promise<Json> => (await jobs()).data.find((job: Json) => job.name === name);
const plan = { name: 'a test', kind: 'duty', everyMs: HOUR_MS } as const;
/** As if all that is known had happened so long ago. */
const passes = (ms: number) =>
  bystander.client.query(
    `UPDATE job_runs SET known_since = known_since - $1::int * interval '1 ms', last_started_at = last_started_at - $1::int * interval '1 ms',
            last_finished_at = last_finished_at - $1::int * interval '1 ms', noted_at = noted_at - $1::int * interval '1 ms'`,
    [Math.round(ms)],
  );

test('are for operators', async () => {
  expect((await shop.client.get('/v1/jobs')).body.code).toBe('forbidden');
  expect((await api.operator.get('/v1/jobs?limit=1')).body.code).toBe('validation_failed');
});

test('a worker’s duties are there from its start: when each ran, when it is next, and what failed', async () => {
  const stop = await startWorker(api.on, {}, { rooms: [...ROOMS, { worker: async () => TriedModule }] });
  await until('it has been noted that they ran', async () => (await jobNamed('tried: works'))?.runs > 0, 20_000);
  await until('and that one failed', async () => (await jobNamed('tried: fails'))?.failures > 0, 20_000);
  await stop();
  const { data } = await jobs();
  const names = data.map((job: Json) => job.name);
  expect(names).toEqual(expect.arrayContaining(['expire holds', 'send webhooks', 'note what ran', 'watch the log']));
  expect(names).toEqual([...new Set<string>(names)].sort());
  expect(await jobNamed('tried: works')).toMatchObject({ kind: 'duty', status: 'waiting', every_ms: 10, failures: 0 });
  const failing = await jobNamed('tried: fails');
  expect(failing).toMatchObject({ status: 'failing', last_error: ERROR, failures: failing.runs });
  expect(failing.last_failed_at).toBe(failing.last_finished_at);
  const hourly = await jobNamed('tried: hourly');
  expect(hourly).toMatchObject({ status: 'waiting', runs: 0, last_started_at: null, lag_ms: 0 });
  expect(Date.parse(hourly.next_at) - Date.now()).toBeGreaterThan(HOUR_MS / 2);
});

describe('is late', () => {
  const late = async () => {
    const { status, lag_ms } = await jobNamed(plan.name);
    return [status, lag_ms > 0];
  };

  test('what has run and does not any more', async () => {
    const runs = new JobRuns(database);
    runs.began(plan);
    runs.ended(plan);
    await runs.note();
    await passes(1.1 * HOUR_MS);
    expect(await late()).toEqual(['waiting', false]);
    await passes(0.2 * HOUR_MS);
    expect(await late()).toEqual(['late', true]);
    runs.began(plan);
    await runs.note();
    expect(await late()).toEqual(['running', false]);
  });

  test('what has never run, though workers know of it: they restart too often', async () => {
    for (let restarts = 0; restarts < 3; restarts += 1) {
      const runs = new JobRuns(database);
      runs.planned(plan, HOUR_MS);
      await runs.note();
      expect(await late()).toEqual([restarts === 2 ? 'late' : 'waiting', restarts === 2]);
      await passes(0.7 * HOUR_MS);
    }
  });

  test('a round that does not end', async () => {
    const runs = new JobRuns(database);
    runs.began(plan);
    await runs.note();
    await passes(1.3 * HOUR_MS);
    expect(await late()).toEqual(['late', true]);
  });
});

test('several workers’ rounds are counted together, and the newest stand', async () => {
  const [one, other] = [new JobRuns(database), new JobRuns(database)];
  one.began(plan);
  one.failed(plan, new Error(ERROR));
  await one.note();
  await passes(60_000);
  other.began(plan);
  other.ended(plan);
  await other.note();
  await one.note();
  expect(await jobNamed(plan.name)).toMatchObject({ status: 'waiting', runs: 2, failures: 1, last_error: ERROR });
});

test('what could not be noted down is the next time', async () => {
  const proxy = await TcpProxy.open(api.on.runtimeUrl);
  const away = open(proxy.url);
  const runs = new JobRuns(away);
  runs.began(plan);
  runs.failed(plan, new Error(ERROR));
  proxy.refuse();
  await expect(runs.note()).rejects.toMatchObject({ code: 'database_unavailable' });
  runs.began(plan);
  runs.ended(plan);
  proxy.accept();
  await runs.note();
  expect(await jobNamed(plan.name)).toMatchObject({ status: 'waiting', runs: 2, failures: 1, last_error: ERROR });
  await away.close();
  await proxy.close();
});

test('a job that nobody has noted for a day and its interval is forgotten', async () => {
  const runs = new JobRuns(database);
  runs.planned({ ...plan, name: 'of an older build' });
  await runs.note();
  await passes(24 * HOUR_MS);
  runs.planned(plan);
  await runs.note();
  expect((await jobs()).data).toHaveLength(2);
  await passes(1.1 * HOUR_MS);
  runs.planned(plan);
  await runs.note();
  expect((await jobs()).data.map(({ name }: Json) => name)).toEqual([plan.name]);
});

test('timers are told by kind, also what is not due yet', async () => {
  const merchantId = BigInt(shop.id);
  const [overdueMs, nextMs] = [Date.now() - 60_000, Date.now() + 24 * HOUR_MS];
  const write = (kind: string, dueAtMs: number) =>
    database.write({ merchantIds: [merchantId] }, Deadline.after(5_000), {
      ...enqueueDue(kind, [{ merchantId, subjectId: 1n, dueAtMs }]),
    });
  await write('a test: overdue', overdueMs);
  await write('a test: next', nextMs);
  const { timers } = await jobs();
  const of = (kind: string) => timers.find((timer: Json) => timer.kind === kind);
  expect(of('a test: overdue')).toMatchObject({ overdue: 1, failing: 0 });
  expect(of('a test: overdue').lag_ms).toBeGreaterThanOrEqual(60_000);
  expect(of('a test: next')).toMatchObject({ overdue: 0, lag_ms: 0, next_at: new Date(nextMs).toISOString() });
  await bystander.client.query('UPDATE due_rows SET last_error = $1', [ERROR]);
  const failing = (await jobs()).timers.map(({ kind, failing }: Json) => [kind, failing]);
  expect(failing).toEqual(expect.arrayContaining([['a test: overdue', 1]]));
});

test('tell of each queue; without Redis of none', async () => {
  const { queues } = await jobs();
  expect(queues.map(({ name }: Json) => name).sort()).toEqual([...queuesOf(ROOMS)].sort());
  const away = await TestApi.start({ on: api.on, environment: { REDIS_QUEUE_URL: 'redis://127.0.0.1:1' } });
  const { status, body } = await away.operator.get('/v1/jobs');
  expect([status, body.queues]).toEqual([200, null]);
  await away.stop();
});
