import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { RECORDS } from '../outbox/recorder.js';
import { asAdmin, type TestDatabase } from '../support/database.js';
import { type PrivatePostgres, privatePostgres } from '../support/postgres.js';
import { type PrivateRedis, privateRedis } from '../support/redis.js';
import { SimulatedBank } from '../support/simulated-bank.js';
import { DELAY_MS } from './deploys.js';
import { Disk } from './disk.js';
import type { Policy } from './run.js';
import type { Build } from './servers.js';
import { Slot } from './slot.js';
import { type Wire, Wires } from './wires.js';

export const OPERATOR_KEY = `cfo_${'0'.repeat(40)}`;
export const TTL_MS = 1_500;
export const L1_MAX_AGE_MS = 300;
/** What a run reaches with this must be there for those who come and go in it, too. */
const CONNECTIONS = 150;
/** Small, so that little fills the disk, and a killed server is soon there again. */
const POSTGRES = {
  max_connections: CONNECTIONS,
  shared_buffers: '64MB',
  min_wal_size: '48MB',
  max_wal_size: '96MB',
};
/** Small, so that a minute holds many faults; but a busy machine must not look like a Redis that is gone. */
const SETTINGS = {
  BALANCE_TTL_MS: String(TTL_MS),
  BALANCE_L1_MAX_AGE_MS: String(L1_MAX_AGE_MS),
  BALANCE_SWEEP_AFTER_MS: '2000',
  BALANCE_REDIS_TIMEOUT_MS: '250',
  WRITER_GROUP_TIMEOUT_MS: '1500',
  WRITER_ATTEMPTS: '3',
  EXPIRY_INTERVAL_MS: '200',
  SETTLEMENT_JOB_LOCK_MS: '2000',
  // APIs come and go, so that the bank has nobody to call back.
  PAYOUT_ASK_SCHEDULE_S: '1',
  // Redis loses the jobs of a night, and whoever looks for them settles all days that are over: nights.ts goes on with another merchant.
  SETTLEMENT_INTERVAL_MS: '15000',
  IDEMPOTENCY_WAIT_MS: '1000',
  REQUEST_DEADLINE_MS: '3000',
  SHUTDOWN_DELAY_MS: String(DELAY_MS),
  // A lease, a job's lock and a claim all end within a pause.
  RELAY_IDLE_MS: '50',
  RELAY_LEASE_MS: '1500',
  RELAY_RESEND_MS: '2000',
  RELAY_STRETCH: '200',
  CONSUMER_PAGE: '50',
  // So that merchants go apart, and with their partition again, all the time.
  CONSUMER_MERCHANT_PAGE: '5',
  CONSUMER_TIMEOUT_MS: '2000',
  CONSUMER_JOB_LOCK_MS: '1500',
  WEBHOOK_ALLOW_LOOPBACK: '1',
  WEBHOOK_POLL_MS: '1000',
  WEBHOOK_TIMEOUT_MS: '3000',
  WEBHOOK_CONNECT_TIMEOUT_MS: '2000',
  WEBHOOK_HEADERS_TIMEOUT_MS: '2000',
  WEBHOOK_RETRY_SCHEDULE_S: Array.from({ length: 30 }, () => '1').join(','),
  // The role of the private server has no password to derive it from.
  CURSOR_SECRET: 'c'.repeat(40),
  LOG_LEVEL: 'warn',
};

/** An event by hand, that nobody acts on. */
const LATE_EVENT = `
INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, 'provider.secret_changed', 1, now(), '{"provider":"acme","change":"deleted"}')`;

/** The service as it is run: real processes, each of which reaches each server by a wire of its own. */
export interface World {
  readonly on: TestDatabase;
  readonly postgres: PrivatePostgres;
  readonly disk: Disk;
  readonly cache: PrivateRedis;
  readonly queue: PrivateRedis;
  readonly bank: SimulatedBank;
  readonly apis: readonly Slot[];
  readonly workers: readonly Slot[];
  /** `database`: of the APIs, then of the workers; `cache`: of the APIs. */
  readonly wires: { readonly database: readonly Wire[]; readonly cache: readonly Wire[]; commitsBefallen(): number };
  readonly ttlMs: number;
  readonly late: { readonly insert: string; merchant: string };
  end(): Promise<void>;
}

type Kept = <Part>(starting: Promise<Part>, stop: (part: Part) => unknown) => Promise<Part>;

async function startDatabase(disk: Disk, kept: Kept) {
  const postgres = await kept(privatePostgres(POSTGRES, disk.folder), (started) => {
    started.signal('SIGCONT');
    return started.stop();
  });
  const on = await postgres.database('counted');
  await asAdmin(on.ownerUrl, (owner) => owner.query(RECORDS));
  return { postgres, on };
}

export async function startWorld(build: Build, policy: Policy): Promise<World> {
  const cleanup: (() => unknown)[] = [];
  const end = async (): Promise<void> => {
    for (const step of cleanup.splice(0).reverse()) await step();
  };
  try {
    const kept: Kept = async (starting, stop) => {
      const part = await starting;
      cleanup.push(() => stop(part));
      return part;
    };
    const disk = new Disk();
    cleanup.push(() => disk.remove());
    const bankState = join(build.folder, `bank-${process.hrtime.bigint()}`);
    const [{ postgres, on }, cache, queue, bank] = await Promise.all([
      startDatabase(disk, kept),
      kept(privateRedis('cache'), (redis) => redis.stop()),
      kept(privateRedis('queue'), (redis) => redis.stop()),
      kept(SimulatedBank.start({ BANK_STATE: bankState }), async (started) => {
        await started.end('SIGKILL');
        rmSync(bankState, { recursive: true, force: true });
      }),
    ]);
    const wires = await Wires.to([...Array(4).fill(on.runtimeUrl), cache.url, cache.url]);
    cleanup.push(() => wires.end());
    const [database, caches] = [wires.all.slice(0, 4), wires.all.slice(4)];
    const slot = (part: 'api' | 'worker', number: number): Slot => {
      const place = number - 1 + (part === 'worker' ? 2 : 0);
      const env = {
        PATH: process.env.PATH,
        DATABASE_URL: on.ownerUrl,
        DATABASE_RUNTIME_URL: database[place]?.url,
        REDIS_URL: part === 'api' ? caches[number - 1]?.url : cache.url,
        REDIS_QUEUE_URL: queue.url,
        COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
        PORT: '0',
        CACHE_WRITE_POLICY: policy,
        ...bank.settings,
        ...SETTINGS,
      };
      return new Slot(part, number, build, env);
    };
    const [apis, workers] = [
      [slot('api', 1), slot('api', 2)],
      [slot('worker', 1), slot('worker', 2)],
    ];
    const slots = [...apis, ...workers];
    // A run that ends early must leave no process behind, a stopped one least of all.
    const killAll = () => {
      for (const one of slots) one.killNow();
      wires.end();
      postgres.signal('SIGKILL');
    };
    process.once('exit', killAll);
    cleanup.push(() => process.removeListener('exit', killAll));
    cleanup.push(() => Promise.all(slots.map((one) => one.kill())));
    await Promise.all(slots.map((one) => one.start()));
    const commitsBefallen = () => wires.commitsBefallen;
    const parts = { on, postgres, disk, cache, queue, bank, apis, workers, ttlMs: TTL_MS, end };
    return {
      ...parts,
      wires: { database, cache: caches, commitsBefallen },
      late: { insert: LATE_EVENT, merchant: '' },
    };
  } catch (error) {
    // What went wrong first is what is told.
    await end().catch(() => undefined);
    throw error;
  }
}
