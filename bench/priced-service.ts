import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { ScratchDatabase } from '#db/bench/scratch-database.js';
import { freePort } from '../scripts/ports.mjs';
import { Child } from '../scripts/services/child.mjs';
import { cpuOfMs, cpuOfServerMs, postmasterOf } from './cpu.js';
import { WAITING } from './drain.js';
import { NightService } from './night-service.js';

const BANK = join(import.meta.dirname, '..', 'apps', 'bank-simulator', 'src', 'main.js');
const API = join(import.meta.dirname, 'api-with-charges.js');
const BANK_WITHIN_MS = 20_000;
const DRAINED_WITHIN_MS = 120_000;
const POLL_MS = 50;

/** What requests have caused and is not done yet: events, deliveries and payouts. */
const PENDING = `
SELECT (SELECT waiting FROM (${WAITING}) log)
     + (SELECT count(*) FROM webhook_deliveries WHERE status = 'due')::int
     + (SELECT count(*) FROM payouts WHERE status IN ('reserved', 'instructed'))::int AS pending`;

export const PROCESSES = ['api', 'worker', 'postgres', 'redis'] as const;
/** CPU milliseconds of each. */
export type Cpu = Record<(typeof PROCESSES)[number], number>;

export interface Charges {
  requests: number;
  units: number;
  refused: number;
}

/** API, worker and a bank; what their CPU is, and what the API has charged. The servers must run on this machine. */
export class PricedService {
  private constructor(
    readonly service: NightService,
    readonly owner: pg.Client,
    private readonly pids: { postmaster: number; redis: readonly number[] },
    private readonly chargesPort: number,
    private readonly bank: Child,
  ) {}

  static async start(database: ScratchDatabase): Promise<PricedService> {
    const [chargesPort, bankPort] = [await freePort(), await freePort()];
    const secret = `whsec_${randomBytes(32).toString('base64')}`;
    const bank = Child.node('the bank', [BANK], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { PATH: process.env.PATH, BANK_SECRET: secret, BANK_PORT: String(bankPort), BANK_DELAY_MS: '0' },
    });
    await bank.firstWord(BANK_WITHIN_MS);
    const env = { BANK_URL: `http://127.0.0.1:${bankPort}`, BANK_SECRET: secret, WEBHOOK_ALLOW_LOOPBACK: '1' };
    const service = await NightService.start(database, env, { CHARGES_PORT: String(chargesPort) }, API);
    bank.process.send?.({ callback: `http://127.0.0.1:${service.api.port}/v1/bank/callbacks` });
    const owner = new pg.Client({ connectionString: database.url });
    await owner.connect();
    const { rows } = await owner.query('SELECT pg_backend_pid() AS pid');
    const postmaster = postmasterOf(rows[0].pid);
    if (postmaster === undefined) throw new Error('PostgreSQL must run on this machine: its CPU is read from /proc');
    const urls = new Set([process.env.REDIS_URL, process.env.REDIS_QUEUE_URL]);
    const redis = await Promise.all([...urls].map((url) => pidOfRedis(url as string)));
    return new PricedService(service, owner, { postmaster, redis }, chargesPort, bank);
  }

  get port(): number {
    return this.service.api.port;
  }

  cpu(): Cpu {
    const { worker, consumers } = this.service.worker.cpuMs();
    return {
      api: cpuOfMs(this.service.api.pid) ?? Number.NaN,
      worker: worker + consumers,
      postgres: cpuOfServerMs(this.pids.postmaster) ?? Number.NaN,
      redis: this.pids.redis.reduce((sum, pid) => sum + (cpuOfMs(pid) ?? Number.NaN), 0),
    };
  }

  async charges(): Promise<Charges> {
    return (await (await fetch(`http://127.0.0.1:${this.chargesPort}`)).json()) as Charges;
  }

  /** Until all that requests have caused is done. */
  async drained(): Promise<void> {
    for (const end = performance.now() + DRAINED_WITHIN_MS; ; await sleep(POLL_MS)) {
      const { rows } = await this.owner.query<{ pending: number }>(PENDING);
      if (rows[0]?.pending === 0) return;
      if (performance.now() > end) throw new Error(`${rows[0]?.pending} things are still pending`);
    }
  }

  async stop(): Promise<void> {
    await this.owner.end();
    await this.service.stop();
    await this.bank.end('SIGTERM');
  }
}

async function pidOfRedis(url: string): Promise<number> {
  const redis = new Redis(url);
  const told = await redis.info('server').finally(() => redis.disconnect());
  return Number(/^process_id:(\d+)/m.exec(told)?.[1]);
}
