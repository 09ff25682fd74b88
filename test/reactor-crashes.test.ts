import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { Build, Service } from './histories/servers.js';
import { Shop } from './reactors/shop.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { plantRoom } from './support/plant-room.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

/** What a killed worker holds comes back within a test. A kill counts as a try. */
const QUICK = {
  RELAY_IDLE_MS: '50',
  RELAY_LEASE_MS: '1000',
  RELAY_RESEND_MS: '2000',
  CONSUMER_TIMEOUT_MS: '2500',
  CONSUMER_JOB_LOCK_MS: '1000',
  CONSUMER_TRIES: '11',
};
const SHOPS = 6;
const KILLS = 3;
const LIMIT_MS = 300_000;

let build: Build;
let gates: string;
let on: TestDatabase;
let ledger: TestLedger;
let admin: pg.Pool;
let workers: [Service, Service];

beforeAll(() => {
  build = new Build(undefined);
  plantRoom(build, 'reactors/fees.ts', 'FEES', '{ reactors: [PLANTED] }');
  gates = mkdtempSync(join(tmpdir(), 'counterfoil-gates-'));
});
afterAll(() => {
  build.remove();
  rmSync(gates, { recursive: true });
});
beforeEach(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  admin = new pg.Pool({ connectionString: on.ownerUrl });
  // Its end does not wait for PostgreSQL's: the database may be dropped before.
  admin.on('error', () => undefined);
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    REDIS_QUEUE_URL: inject('redisQueueUrl'),
    REACTOR_GATES: gates,
    ...QUICK,
  };
  const worker = (name: string): Service => new Service(name, build, 'dist/apps/worker/src/main.js', env);
  workers = [worker('one worker'), worker('other worker')];
});
afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.crash()));
  await expectVerified(on);
  await ledger.close();
  await admin.end();
  await on.drop();
});

test(
  'a worker that is killed between a fee’s posting and its position: the fee is posted once',
  async () => {
    const gate = join(gates, 'stop');
    writeFileSync(gate, '');
    const shop = await Shop.open(ledger, admin);
    const sold = [await shop.sell(), await shop.sell('stop'), await shop.sell()];
    const [one, other] = workers;
    await one.start();
    await shop.untilFees(2);
    expect(await shop.ahead()).toBeGreaterThan(0);
    await one.crash();
    expect(await shop.ahead()).toBeGreaterThan(0);
    rmSync(gate);
    await other.start();
    await shop.untilPast();
    expect(await shop.fees()).toEqual(sold);
  },
  LIMIT_MS,
);

test(
  'two workers, killed in turn while sales are made: one fee a sale, in their order',
  async () => {
    const shops = await Promise.all(Array.from({ length: SHOPS }, () => Shop.open(ledger, admin)));
    await Promise.all(workers.map((worker) => worker.start()));
    const posted = async (): Promise<number> => (await Promise.all(shops.map((shop) => shop.fees()))).flat().length;
    let isOver = false;
    const selling = Promise.all(shops.map((shop) => shop.sellWhile(() => !isOver)));
    for (let kill = 0; kill < KILLS; kill += 1) {
      const before = await posted();
      await until('fees were posted', async () => (await posted()) > before, LIMIT_MS);
      const worker = workers[kill % 2] as Service;
      await worker.crash();
      await worker.start();
    }
    isOver = true;
    const sold = await selling;
    for (const [index, shop] of shops.entries()) {
      await shop.untilPast();
      expect(await shop.fees()).toEqual(sold[index]);
      expect(await shop.letters()).toEqual([]);
    }
  },
  LIMIT_MS,
);
