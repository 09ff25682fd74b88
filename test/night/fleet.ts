import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newKey, secretOf } from '#platform/standard-webhooks.js';
import { freePort } from '../../scripts/ports.mjs';
import { Dice } from '../histories/history.js';
import { type Build, Service } from '../histories/servers.js';
import { Client } from '../payments/client.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { type PrivateRedis, privateRedis } from '../support/redis.js';

/** The service as it is run, two workers wide, with a bank beside it. */
export interface Fleet {
  readonly on: TestDatabase;
  readonly client: Client;
  readonly bank: Client;
  readonly bankSecret: string;
  readonly apis: readonly Service[];
  readonly workers: readonly Service[];
  readonly theBank: Service;
  readonly redis: Readonly<Record<'cache' | 'queue', PrivateRedis>>;
  stop(): Promise<void>;
}

export const OPERATOR_KEY = `cfo_${'0'.repeat(40)}`;
const DELAY_MS = '300';
/** Small, so that little makes several ranges and chunks; short, so that what a killed process had is soon another's. */
const SETTINGS = {
  SETTLEMENT_INTERVAL_MS: '1000',
  SETTLEMENT_JOB_LOCK_MS: '1000',
  SETTLEMENT_RANGE_MERCHANTS: '2',
  SETTLEMENT_CHUNK_ENTRIES: '7',
  PAYOUT_ASK_SCHEDULE_S: '1,2',
  WRITER_GROUP_TIMEOUT_MS: '1500',
  REQUEST_DEADLINE_MS: '10000',
  LOG_LEVEL: 'error',
};

export async function startFleet(build: Build, seed: number): Promise<Fleet> {
  const cleanup: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const step of cleanup.splice(0).reverse()) await step();
  };
  try {
    const on = await freshDatabase();
    cleanup.push(() => on.drop());
    const [cache, queue] = await Promise.all([privateRedis('cache'), privateRedis('queue')]);
    cleanup.push(() => Promise.all([cache.stop(), queue.stop()]));
    const folder = mkdtempSync(join(tmpdir(), 'counterfoil-bank-'));
    cleanup.push(() => rmSync(folder, { recursive: true }));
    const [port, bankPort] = [await freePort(), await freePort()];
    const secret = secretOf(newKey());
    const theBank = new Service('bank', build, 'dist/apps/bank-simulator/src/main.js', {
      PATH: process.env.PATH,
      BANK_PORT: String(bankPort),
      BANK_SECRET: secret,
      BANK_CALLBACK: `http://127.0.0.1:${port}/v1/bank/callbacks`,
      BANK_STATE: join(folder, 'bank.jsonl'),
      BANK_DELAY_MS: DELAY_MS,
      BANK_RETURN_DELAY_MS: DELAY_MS,
    });
    theBank.isReady = async () => undefined;
    const env = {
      PATH: process.env.PATH,
      DATABASE_URL: on.ownerUrl,
      DATABASE_RUNTIME_URL: on.runtimeUrl,
      REDIS_URL: cache.url,
      REDIS_QUEUE_URL: queue.url,
      COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
      BANK_URL: `http://127.0.0.1:${bankPort}`,
      BANK_SECRET: secret,
      ...SETTINGS,
    };
    const apis = [new Service('api', build, 'dist/apps/api/src/main.js', { ...env, PORT: String(port) })];
    const workers = ['worker-1', 'worker-2'].map(
      (name) => new Service(name, build, 'dist/apps/worker/src/main.js', { ...env, PORT: '0' }),
    );
    const services = [...apis, ...workers, theBank];
    cleanup.push(() => Promise.all(services.map((service) => service.end('SIGKILL'))));
    const killAll = (): void => {
      for (const service of services) service.killNow();
    };
    // A run that ends early must leave no process behind.
    process.once('exit', killAll);
    cleanup.push(() => process.removeListener('exit', killAll));
    await Promise.all(services.map((service) => service.start()));
    const dice = new Dice(seed);
    return {
      on,
      client: new Client(apis, dice),
      bank: new Client([theBank], dice),
      bankSecret: secret,
      apis,
      workers,
      theBank,
      redis: { cache, queue },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
