import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { Queues } from '#platform/queues.js';
import { Build, Service } from './histories/servers.js';
import { type Merchant, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import type { TestDatabase } from './support/database.js';
import { daysAgo, finished, holdUp, owe, settlementsOf, startRun } from './support/night.js';
import { type PrivatePostgres, privatePostgres } from './support/postgres.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';
import { startWorker } from './support/worker.js';

const LIMIT_MS = 180_000;
const YESTERDAY = daysAgo(1);
const MERCHANTS = 8;
const NIGHT = {
  REDIS_QUEUE_URL: inject('redisQueueUrl'),
  SETTLEMENT_INTERVAL_MS: '300',
  SETTLEMENT_RANGE_MERCHANTS: '2',
  SETTLEMENT_JOB_LOCK_MS: '1000',
  // PostgreSQL ends what a paused worker left open, and its locks with it, after this time.
  SETTLEMENT_STEP_TIMEOUT_MS: '4000',
};

let build: Build;

beforeAll(() => {
  build = new Build(undefined);
}, LIMIT_MS);
afterAll(() => build.remove());

async function owed(api: TestApi): Promise<[Merchant, ...Merchant[]]> {
  const merchants = await Promise.all(Array.from({ length: MERCHANTS }, () => api.merchant()));
  await Promise.all(merchants.map((shop) => owe(shop, '10', YESTERDAY)));
  return merchants as [Merchant, ...Merchant[]];
}

/** Each merchant once, and what it comes to told once. */
async function expectSettledOnce(api: TestApi, runId: string, merchants: readonly Merchant[]): Promise<void> {
  const run = await finished(api, runId);
  expect(run).toMatchObject({ status: 'completed', merchants: { total: MERCHANTS, settled: MERCHANTS }, errors: [] });
  expect(run.totals).toEqual([
    expect.objectContaining({ currency: 'EUR', settlements: MERCHANTS, net: String(10 * MERCHANTS) }),
  ]);
  for (const shop of merchants) {
    expect((await settlementsOf(shop)).map(({ net, items }) => [net, items])).toEqual([['10', 1]]);
  }
}

async function forgetJobs(on: TestDatabase): Promise<void> {
  const queues = new Queues(inject('redisQueueUrl'), on.runtimeUrl);
  await queues.queue('night').obliterate({ force: true });
  await queues.close();
}

describe('a worker in the middle of a range', () => {
  let api: TestApi;
  let bystander: Bystander;
  let workers: [Service, Service];

  beforeEach(async () => {
    api = await TestApi.start({ environment: NIGHT });
    bystander = await Bystander.open(api.on);
    const env = {
      PATH: process.env.PATH,
      DATABASE_URL: api.on.ownerUrl,
      DATABASE_RUNTIME_URL: api.on.runtimeUrl,
      ...NIGHT,
    };
    const worker = (name: string): Service => new Service(name, build, 'dist/apps/worker/src/main.js', env);
    workers = [worker('one worker'), worker('other worker')];
  });
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.crash()));
    expect(api.errors).toEqual([]);
    await expectVerified(api.on);
    await forgetJobs(api.on);
    await bystander.close();
    await api.stop();
  });

  test('is killed: the range goes on in another one', { timeout: LIMIT_MS }, async () => {
    const merchants = await owed(api);
    const [one, other] = workers;
    const { body } = await startRun(api, YESTERDAY, merchants);
    await holdUp(bystander, merchants[0], () => one.start());
    await one.crash();
    await bystander.release();
    await other.start();
    await expectSettledOnce(api, body.id, merchants);
  });

  test('is paused past its lock: another one completes it, and what it does when it wakes changes nothing', {
    timeout: LIMIT_MS,
  }, async () => {
    const merchants = await owed(api);
    const [one, other] = workers;
    const { body } = await startRun(api, YESTERDAY, merchants);
    await holdUp(bystander, merchants[0], () => one.start());
    one.pause();
    await bystander.release();
    await other.start();
    await expectSettledOnce(api, body.id, merchants);
    const before = await api.countRows();
    one.resume();
    await other.crash();
    const again = await startRun(api, YESTERDAY, merchants);
    await finished(api, again.body.id);
    const { settlements, settlement_lines, transactions } = await api.countRows();
    expect({ settlements, settlement_lines, transactions }).toEqual({
      settlements: before.settlements,
      settlement_lines: before.settlement_lines,
      transactions: before.transactions,
    });
    await expectSettledOnce(api, body.id, merchants);
  });
});

test('PostgreSQL restarts in the middle of a run: it goes on when it is back', { timeout: LIMIT_MS }, async () => {
  const postgres: PrivatePostgres = await privatePostgres();
  const on = await postgres.database('night');
  const api = await TestApi.start({ on, environment: NIGHT });
  const merchants = await owed(api);
  const { body } = await startRun(api, YESTERDAY, merchants);
  const bystander = await Bystander.open(on);
  let stop: () => Promise<void> = async () => undefined;
  await holdUp(bystander, merchants[0], async () => {
    stop = await startWorker(on, NIGHT);
  });
  await postgres.restart();
  await until('the API is back', async () => (await api.operator.get('/v1/jobs')).status === 200);
  await expectSettledOnce(api, body.id, merchants);
  await stop();
  await expectVerified(on);
  await forgetJobs(on);
  await bystander.close().catch(() => undefined);
  await api.stop();
  await postgres.stop();
});
