import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../../scripts/ports.mjs';
import { exchange } from '../histories/http.js';
import { type Build, Service } from '../histories/servers.js';
import { type Json, OPERATOR_KEY } from '../support/api.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { type PrivateRedis, privateRedis } from '../support/redis.js';
import { SimulatedBank } from '../support/simulated-bank.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { ALL, type Destination } from './points.js';

const PATIENCE_MS = 20_000;
const RETRY_MS = 50;
const GIVE_UP_MS = 120_000;
/** Each shop has a lane of the writer's to itself: where one is held, the others go on. */
const LANES = 16;
const SETTINGS = {
  WRITER_GROUP_TIMEOUT_MS: '3000',
  WRITER_LANES: String(LANES),
  REQUEST_DEADLINE_MS: '10000',
  BANK_TIMEOUT_MS: '2500',
  PAYOUT_POLL_MS: '50',
  PAYOUT_ASK_SCHEDULE_S: '1',
  PAYOUT_CONCURRENCY: '32',
  LOG_LEVEL: 'silent',
};
const DELAYS = { BANK_DELAY_MS: '300', BANK_RETURN_DELAY_MS: '500' };

const YESTERDAY = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
export const CURRENCY = 'EUR';
/** Settled of each shop: more than is paid out. */
export const SETTLED = 1_000_000_000n;

/** A merchant whose payouts all go to one destination. */
export interface Shop {
  readonly id: string;
  readonly key: string;
  readonly destination: Destination;
  readonly accounts: Readonly<Record<string, string>>;
}

/** An API, a worker and a bank in processes of their own; what the first two say to PostgreSQL goes through a hand that can close. */
export class Stage {
  readonly wires: { readonly api: TcpProxy; readonly worker: TcpProxy };
  readonly shops: Shop[] = [];
  readonly #cleanup: (() => unknown)[];

  private constructor(
    readonly on: TestDatabase,
    readonly owner: pg.Client,
    readonly api: Service,
    readonly worker: Service,
    readonly bank: SimulatedBank,
    readonly redis: { readonly cache: PrivateRedis; readonly queue: PrivateRedis },
    wires: Stage['wires'],
    cleanup: (() => unknown)[],
  ) {
    this.wires = wires;
    this.#cleanup = cleanup;
  }

  static async open(build: Build): Promise<Stage> {
    const cleanup: (() => unknown)[] = [];
    try {
      const on = await freshDatabase();
      cleanup.push(() => on.drop());
      const owner = new pg.Client({ connectionString: on.ownerUrl });
      await owner.connect();
      cleanup.push(() => owner.end());
      const folder = mkdtempSync(join(tmpdir(), 'counterfoil-payouts-'));
      cleanup.push(() => rmSync(folder, { recursive: true }));
      const redis = { cache: await privateRedis('cache'), queue: await privateRedis('queue') };
      cleanup.push(() => Promise.all([redis.cache.stop(), redis.queue.stop()]));
      const port = await freePort();
      const callback = `http://127.0.0.1:${port}/v1/bank/callbacks`;
      const bank = await SimulatedBank.start({ ...DELAYS, BANK_STATE: join(folder, 'bank'), BANK_CALLBACK: callback });
      cleanup.push(() => bank.end('SIGKILL'));
      const wires = { api: await TcpProxy.open(on.runtimeUrl), worker: await TcpProxy.open(on.runtimeUrl) };
      cleanup.push(() => Promise.all([wires.api.close(), wires.worker.close()]));
      const service = (app: 'api' | 'worker'): Service =>
        new Service(app, build, `dist/apps/${app}/src/main.js`, {
          PATH: process.env.PATH,
          DATABASE_URL: on.ownerUrl,
          DATABASE_RUNTIME_URL: wires[app].url,
          REDIS_URL: redis.cache.url,
          REDIS_QUEUE_URL: redis.queue.url,
          COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
          PORT: String(port),
          ...SETTINGS,
          ...bank.settings,
        });
      const [api, worker] = [service('api'), service('worker')];
      const killAll = () => {
        for (const one of [api, worker]) one.killNow();
      };
      // A run that ends early must leave no process behind.
      process.once('exit', killAll);
      cleanup.push(() => process.removeListener('exit', killAll));
      cleanup.push(() => Promise.all([api.crash(), worker.crash()]));
      await Promise.all([api.start(), worker.start()]);
      const stage = new Stage(on, owner, api, worker, bank, redis, wires, cleanup);
      const lanes = new Set<bigint>();
      for (const destination of ALL) {
        const shop = await until('a merchant of a free lane', async () => {
          const opened = await stage.#open(destination);
          return !lanes.has(laneOf(opened)) && opened;
        });
        lanes.add(laneOf(shop));
        stage.shops.push(shop);
      }
      await stage.#settle();
      return stage;
    } catch (error) {
      await clean(cleanup);
      throw error;
    }
  }

  close(): Promise<void> {
    return clean(this.#cleanup);
  }

  get(path: string, key: string): Promise<Json> {
    return this.#ask(path, { authorization: `Bearer ${key}` });
  }

  /** Under one key however often it is sent: whoever kills the API has it sent again. */
  post(path: string, key: string, body: object): Promise<Json> {
    const headers = {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
    };
    return this.#ask(path, headers, JSON.stringify(body));
  }

  async #open(destination: Destination): Promise<Shop> {
    const facts = { name: destination, time_zone: 'UTC', settlement_cutoff: '00:00', currencies: [CURRENCY] };
    const { id, api_key, accounts } = await this.post('/v1/merchants', OPERATOR_KEY, facts);
    const ids = Object.fromEntries(accounts.map((account: Json) => [account.code, account.id]));
    const entry = { amount: String(SETTLED), currency: CURRENCY };
    const sale = {
      type: 'sale',
      effective_at: `${YESTERDAY}T12:00:00.000Z`,
      entries: [
        { ...entry, account_code: `provider_receivable:${CURRENCY}`, direction: 'debit' },
        { ...entry, account_code: `merchant_payable:${CURRENCY}`, direction: 'credit' },
      ],
    };
    await this.post('/v1/transactions', api_key.secret, sale);
    return { id, key: api_key.secret, destination, accounts: ids };
  }

  /** What was sold yesterday. */
  async #settle(): Promise<void> {
    const run = { business_date: YESTERDAY, merchant_ids: this.shops.map(({ id }) => id) };
    const { id } = await this.post('/v1/settlement_runs', OPERATOR_KEY, run);
    const { merchants } = await until('yesterday is settled', async () => {
      const is = await this.get(`/v1/settlement_runs/${id}`, OPERATOR_KEY);
      return is.finished_at !== null && is;
    });
    if (merchants.settled !== this.shops.length) throw new Error(`not settled: ${JSON.stringify(merchants)}`);
  }

  async #ask(path: string, headers: Record<string, string>, body?: string): Promise<Json> {
    const end = performance.now() + GIVE_UP_MS;
    for (;;) {
      const { url } = this.api;
      const answer =
        url && (await exchange(url + path, { headers, body, patienceMs: PATIENCE_MS }).catch(() => undefined));
      if (answer && answer.status < 300) return JSON.parse(answer.text);
      const isFinal = answer && answer.status < 500 && answer.status !== 429 && answer.status !== 409;
      if (isFinal || performance.now() > end) throw new Error(`${path}: ${answer ? answer.text : 'no answer'}`);
      await sleep(RETRY_MS);
    }
  }
}

/** As the writer has it. */
function laneOf({ id }: Shop): bigint {
  const merchantId = BigInt(id);
  return (merchantId ^ (merchantId >> 22n)) % BigInt(LANES);
}

async function clean(steps: (() => unknown)[]): Promise<void> {
  for (const step of steps.splice(0).reverse()) await step();
}
