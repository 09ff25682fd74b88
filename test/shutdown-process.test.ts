import { spawn } from 'node:child_process';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { Build, Service } from './histories/servers.js';
import { Client, transfer } from './support/api.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { FullPipe } from './support/full-pipe.js';
import { privateRedis } from './support/redis.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

const OPERATOR_KEY = `cfo_${'5'.repeat(40)}`;
const CALLERS = 16;
/** Acknowledged before the signal. */
const WARM = 200;

let build: Build;
let on: TestDatabase;
let service: Service;

beforeAll(async () => {
  build = new Build(undefined);
  on = await freshDatabase();
  service = new Service('api', build, 'dist/apps/api/src/main.js', {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    REDIS_URL: inject('redisUrl'),
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
    PORT: '0',
    SHUTDOWN_DELAY_MS: '200',
  });
  await service.start();
});
afterAll(async () => {
  await service.end('SIGKILL');
  await on.drop();
  build.remove();
});

test('a worker that gets SIGTERM while the queue’s Redis is gone ends with 0', async () => {
  const queue = await privateRedis('queue');
  const worker = new Service('worker', build, 'dist/apps/worker/src/main.js', {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    REDIS_QUEUE_URL: queue.url,
  });
  await worker.start();
  await queue.stop();
  expect(await worker.end('SIGTERM')).toBe(0);
});

test('the harness is told of a process that ended and nobody had ended it, and of no other', async () => {
  const worker = new Service('worker', build, 'dist/apps/worker/src/main.js', {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    REDIS_QUEUE_URL: inject('redisUrl'),
  });
  const deaths: string[] = [];
  worker.onDeath = (how) => deaths.push(how);
  await worker.start();
  await worker.end('SIGKILL');
  await worker.start();
  process.kill(worker.pid as number, 'SIGABRT');
  await until('it is told', () => deaths.length > 0);
  expect(deaths).toEqual(['SIGABRT']);
});

/** TypeORM asks a database that is not there for so long, and as long again on a slow machine. */
const START_FAILS_MS = 45_000;

test.each(['api', 'worker'])('a start that fails ends the process though nobody reads its log: %s', async (name) => {
  const pipe = new FullPipe();
  const child = spawn(process.execPath, [join(build.folder, `dist/apps/${name}/src/main.js`)], {
    stdio: ['ignore', pipe.writer, 'inherit'],
    env: { PATH: process.env.PATH, DATABASE_URL: 'postgres://counterfoil@127.0.0.1:1/counterfoil', PORT: '0' },
  });
  try {
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
    await until('it has ended', hasEnded, START_FAILS_MS);
    // The code is lost where a write to the pipe waits, and does not fail: which it is decides who has touched process.stdout.
    expect([1, 'SIGKILL']).toContain(child.exitCode ?? child.signalCode);
  } finally {
    child.kill('SIGKILL');
    pipe.close();
  }
});

interface Posted {
  /** Its status, or the error. */
  outcome: number | string;
  keepsAlive: boolean;
}

function post(agent: Agent, url: string, headers: Record<string, string>): Promise<Posted> {
  return new Promise((resolve) => {
    const asked = request(`${url}/v1/transactions`, { agent, method: 'POST', headers }, (response) => {
      response.resume();
      response.on('end', () =>
        resolve({ outcome: response.statusCode ?? 0, keepsAlive: response.headers.connection !== 'close' }),
      );
    });
    asked.on('error', (error: NodeJS.ErrnoException) =>
      resolve({ outcome: error.code ?? error.message, keepsAlive: false }),
    );
    asked.end(JSON.stringify(transfer('cash:EUR', 'suspense:EUR', '1')));
  });
}

test('a process that gets SIGTERM under postings fails none of them, loses none, and ends with 0', async () => {
  const url = service.url as string;
  const operator = new Client(url, { authorization: `Bearer ${OPERATOR_KEY}` });
  const shop = { name: 'Shop', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  const merchant = await operator.post('/v1/merchants', { body: shop });
  const headers = { authorization: `Bearer ${merchant.body.api_key.secret}`, 'content-type': 'application/json' };
  const outcomes = new Map<string, number | string>();
  // Each posts on its one connection until it is told to close it, as the client of a balancer that saw /readyz would.
  const callers = Array.from({ length: CALLERS }, async (_, caller) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let count = 0; ; count += 1) {
      const key = `${caller}-${count}`;
      const { outcome, keepsAlive } = await post(agent, url, { ...headers, 'idempotency-key': key });
      outcomes.set(key, outcome);
      if (!keepsAlive) break;
    }
    agent.destroy();
  });
  await until('postings are under way', () => outcomes.size >= WARM);
  const ended = service.end('SIGTERM');
  await Promise.all(callers);
  expect(await ended).toBe(0);
  expect(new Set(outcomes.values())).toEqual(new Set([201]));
  expect(outcomes.size).toBeGreaterThan(WARM);
  const kept = await asAdmin(on.ownerUrl, async (owner) => {
    const text = 'SELECT k.key FROM idempotency_keys k JOIN transactions t ON t.id = k.transaction_id';
    return (await owner.query<{ key: string }>(text)).rows.map(({ key }) => key);
  });
  expect(kept.sort()).toEqual([...outcomes.keys()].sort());
  expect(await expectVerified(on)).toBe(BigInt(outcomes.size));
});
