import fc from 'fast-check';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { Build, Service } from './histories/servers.js';
import { Business } from './reconciliation/interrupted.js';
import { TestApi } from './support/api.js';

/** Set by `npm run test:faults -- reconciliation [--rounds N --seed S]`; `npm test` has a short one. */
const { RECONCILIATION_ROUNDS = '1', RECONCILIATION_SEED = '20261127' } = process.env;
const ROUNDS = Number(RECONCILIATION_ROUNDS);
const ROUND_MS = 120_000;
const KILLS = 2;
/** Many small steps, and whoever takes over does so soon. */
const SETTINGS = {
  RECONCILIATION_CHUNK_ROWS: '15',
  RECONCILIATION_BREAKS_AT_ONCE: '3',
  RECONCILIATION_INTERVAL_MS: '200',
  RECONCILIATION_JOB_LOCK_MS: '500',
};

let api: TestApi;
let owner: pg.Client;
let build: Build;
let worker: Service;

beforeAll(async () => {
  build = new Build(undefined);
  const staging = { RECONCILIATION_STAGE_ROWS: '100' };
  api = await TestApi.start({ environment: { REDIS_QUEUE_URL: inject('redisQueueUrl'), ...staging } });
  owner = new pg.Client({ connectionString: api.on.ownerUrl });
  await owner.connect();
  worker = new Service('worker', build, 'dist/apps/worker/src/main.js', {
    PATH: process.env.PATH,
    DATABASE_URL: api.on.ownerUrl,
    DATABASE_RUNTIME_URL: api.on.runtimeUrl,
    REDIS_URL: inject('redisUrl'),
    REDIS_QUEUE_URL: inject('redisQueueUrl'),
    LOG_LEVEL: 'silent',
    ...SETTINGS,
  });
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await worker.crash();
  await owner.end();
  await api.stop();
  build.remove();
});

test(
  'each row is matched once and no break opened twice, however often it is told, by whomever at once, and whoever is killed',
  async () => {
    const shares = fc.array(fc.double({ min: 0.2, max: 0.9, noNaN: true }), { minLength: KILLS, maxLength: KILLS });
    const drawn = fc.sample(shares, { seed: Number(RECONCILIATION_SEED), numRuns: ROUNDS });
    const left: number[] = [];
    for (const kills of drawn) {
      const business = await Business.open({ api, owner, worker }, 150);
      const half = Math.floor(business.planted.count / 2);
      // All of it, and the second half of it: at once, and both wait for a worker.
      const both = await Promise.all([business.upload(), business.upload(half)]);
      for (const share of kills.toSorted().reverse()) {
        await worker.start();
        left.push(await business.killMatching(share));
      }
      await business.cut();
      await worker.start();
      for (const id of both) await business.completed(id);
      const again = await business.completed(await business.upload());
      expect(again).toMatchObject({ repeated: business.planted.count, matched: business.planted.matched });
      expect(await business.offences()).toEqual([]);
      await worker.crash();
    }
    console.log(`${ROUNDS} rounds; rows left by a worker that was killed: ${left.join(', ')}`);
    // Nothing is shown by a worker that had nothing left to do.
    expect(left.filter((rows) => rows > 0).length).toBeGreaterThan(0);
  },
  ROUNDS * ROUND_MS,
);
