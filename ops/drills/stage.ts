import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { migrate } from '#db/migrate.js';
import { childrenOf, postmasterOf } from '../../bench/cpu.js';
import { callApi } from '../../scripts/call-api.mjs';
import { freePort } from '../../scripts/ports.mjs';
import { Child } from '../../scripts/services/child.mjs';
import { IN_A_DRILL, prometheusFile, rulesFile } from '../files.js';

const READY_MS = 60_000;
const POLL_MS = 200;
const OPERATOR_KEY = `cfo_${randomBytes(24).toString('hex')}`;
const BANK_SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const { DATABASE_URL = '', REDIS_URL = '', REDIS_QUEUE_URL = '', PROMETHEUS = 'prometheus' } = process.env;

/** Whatever is shorter than in service, so that a drill takes seconds. */
const SOON = {
  REQUEST_DEADLINE_MS: '2000',
  WRITER_LANE_CAPACITY: '20',
  BALANCE_MONITOR_INTERVAL_MS: '500',
  RECONCILIATION_TRIES: '3',
  LIMIT_USAGE_FLUSH_MS: '500',
  AUTH_FAILURES_PER_SECOND: '5',
  AUTH_FAILURES_BURST: '10',
  WEBHOOK_ALLOW_LOOPBACK: '1',
  WEBHOOK_RETRY_SCHEDULE_S: '2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2,2',
  LOG_LEVEL: 'fatal',
};

// biome-ignore lint/suspicious/noExplicitAny: what the API answers is as its document says.
export type Call = (method: string, path: string, body?: object | string) => Promise<any>;

/** API, worker, bank and Prometheus on servers of their own, which drills harm. */
export class Stage {
  readonly #folder = mkdtempSync(join(tmpdir(), 'counterfoil-drills-'));
  readonly #loops = new Set<AbortController>();
  #env: NodeJS.ProcessEnv = {};
  #ports = { api: 0, apiMetrics: 0, workerMetrics: 0, prometheus: 0 };
  #children: Child[] = [];
  api: Child;
  worker: Child;
  bank: Child;
  readonly sql = new pg.Pool({ connectionString: DATABASE_URL, max: 2 });
  merchant: { id: string; call: Call };

  static async open(): Promise<Stage> {
    const stage = new Stage();
    stage.sql.on('error', () => undefined);
    await migrate(DATABASE_URL);
    for (const name of ['api', 'apiMetrics', 'workerMetrics', 'prometheus'] as const)
      stage.#ports[name] = await freePort();
    stage.bank = stage.#run('the bank', 'apps/bank-simulator/src/main.js', { BANK_SECRET, BANK_DELAY_MS: '100' });
    const { listening } = await stage.bank.firstWord(READY_MS);
    stage.#env = { ...SOON, COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY, BANK_URL: listening, BANK_SECRET };
    const { api, apiMetrics } = stage.#ports;
    stage.api = stage.#run('the API', 'apps/api/src/main.js', { PORT: String(api), METRICS_PORT: String(apiMetrics) });
    await stage.startWorker();
    await stage.api.ready(
      READY_MS,
      async () => (await fetch(`${stage.url}/readyz`).catch(() => undefined))?.ok ?? false,
    );
    await stage.#startPrometheus();
    stage.merchant = await stage.openMerchant();
    return stage;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#ports.api}`;
  }

  get prometheusUrl(): string {
    return `http://127.0.0.1:${this.#ports.prometheus}`;
  }

  readonly operate: Call = (method, path, body) => this.#call(OPERATOR_KEY, method, path, body);

  /** As an operator, whose key it is, who acts for a merchant. A body that is text is a report. */
  actFor(merchantId: string, key = OPERATOR_KEY): Call {
    return (method, path, body) => this.#call(key, method, path, body, { 'counterfoil-merchant': merchantId });
  }

  /** Of a new operator. */
  async operatorKey(): Promise<string> {
    return (await this.operate('POST', '/v1/operator_keys', { name: `drill-${randomUUID()}` })).secret;
  }

  async openMerchant(): Promise<Stage['merchant']> {
    const body = { name: 'Drill', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
    const { id, api_key: key } = await this.operate('POST', '/v1/merchants', body);
    return { id, call: (method, path, own) => this.#call(key.secret, method, path, own) };
  }

  post(fields: object = {}, merchant = this.merchant): Promise<{ id: string }> {
    return merchant.call('POST', '/v1/transactions', transfer('cash:EUR', 'suspense:EUR', fields));
  }

  async startWorker(): Promise<void> {
    this.worker = this.#run('the worker', 'apps/worker/src/main.js', {
      METRICS_PORT: String(this.#ports.workerMetrics),
    });
    await this.worker.firstWord(READY_MS);
  }

  /** Again and again, by so many callers at once, whatever comes of it. Returns how to end it. */
  keepOn(work: () => Promise<unknown>, callers = 1, pauseMs = 50): () => void {
    const loop = new AbortController();
    this.#loops.add(loop);
    const one = async () => {
      while (!loop.signal.aborted) {
        await work().catch(() => undefined);
        await sleep(pauseMs);
      }
    };
    for (let caller = 0; caller < callers; caller += 1) void one();
    return () => loop.abort();
  }

  /** Processes of PostgreSQL, the first is their parent. */
  async postgres(): Promise<number[]> {
    const { rows } = await this.sql.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const postmaster = postmasterOf(rows[0]?.pid ?? 0);
    if (postmaster === undefined) throw new Error('PostgreSQL does not run on this machine');
    return [postmaster, ...childrenOf(postmaster)];
  }

  async redis(role: 'cache' | 'queue'): Promise<number[]> {
    const redis = new Redis(role === 'cache' ? REDIS_URL : REDIS_QUEUE_URL);
    const info = await redis.info('server').finally(() => redis.disconnect());
    return [Number(/^process_id:(\d+)/m.exec(info)?.[1])];
  }

  /** A session as the owner, which is ended by what it returns. */
  async session(...statements: readonly pg.QueryConfig[]): Promise<() => Promise<void>> {
    const client = new pg.Client(DATABASE_URL);
    client.on('error', () => undefined);
    await client.connect();
    for (const statement of statements) await client.query(statement);
    return () => client.end();
  }

  /** By a connection that stays open until what it returns sets everything back. */
  async reconfigure(role: 'cache' | 'queue', settings: Record<string, string>): Promise<[Redis, () => Promise<void>]> {
    const redis = new Redis(role === 'cache' ? REDIS_URL : REDIS_QUEUE_URL);
    const before = await redis.config('GET', ...(Object.keys(settings) as [string]));
    const set = (values: readonly string[]) => redis.config('SET', ...(values as [string, string]));
    await set(Object.entries(settings).flat());
    const back = () => set(before as string[]).finally(() => redis.disconnect());
    return [redis, async () => void (await back())];
  }

  /** A receiver of webhooks that is not there until it listens. */
  async receiver(status = 204): Promise<{ url: string; listen: () => Promise<void> }> {
    const port = await freePort();
    const server = createServer((request, response) =>
      request.resume().on('end', () => response.writeHead(status).end()),
    );
    const listen = () => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return { url: `http://127.0.0.1:${port}/hook`, listen };
  }

  async alerts(): Promise<{ name: string; state: 'pending' | 'firing' }[]> {
    const answer = await fetch(`${this.prometheusUrl}/api/v1/alerts`);
    const { data } = (await answer.json()) as {
      data: { alerts: { labels: { alertname: string }; state: 'pending' | 'firing' }[] };
    };
    return data.alerts.map(({ labels, state }) => ({ name: labels.alertname, state }));
  }

  /** Seconds until it is so. */
  async until(what: string, withinS: number, look: () => Promise<boolean>): Promise<number> {
    const from = performance.now();
    for (;;) {
      const waitedS = (performance.now() - from) / 1_000;
      if (await look()) return waitedS;
      if (waitedS > withinS) throw new Error(`not within ${withinS} s: ${what}`);
      await sleep(POLL_MS);
    }
  }

  async close(): Promise<void> {
    for (const loop of this.#loops) loop.abort();
    await Promise.all(this.#children.map((child) => child.stop()));
    await this.sql.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #startPrometheus(): Promise<void> {
    const { apiMetrics, workerMetrics, prometheus } = this.#ports;
    const targets = [apiMetrics, workerMetrics].map((port) => `127.0.0.1:${port}`);
    writeFileSync(join(this.#folder, 'alerts.yml'), rulesFile(IN_A_DRILL));
    writeFileSync(join(this.#folder, 'prometheus.yml'), prometheusFile({ everyS: 1, rules: 'alerts.yml', targets }));
    const args = ['--config.file=prometheus.yml', '--storage.tsdb.path=data', '--log.level=error'];
    const listen = `--web.listen-address=127.0.0.1:${prometheus}`;
    const command = [PROMETHEUS, ...args, listen, '--enable-feature=exemplar-storage'];
    const child = new Child('Prometheus', command, { cwd: this.#folder, stdio: ['ignore', 'ignore', 'inherit'] });
    this.#children.push(child);
    await child.ready(
      READY_MS,
      async () => (await fetch(`${this.prometheusUrl}/-/ready`).catch(() => undefined))?.ok ?? false,
    );
  }

  #run(name: string, file: string, env: NodeJS.ProcessEnv): Child {
    const own = { ...process.env, ...this.#env, ...env };
    const child = Child.node(name, [join(import.meta.dirname, '..', '..', file)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: own,
    });
    this.#children.push(child);
    return child;
  }

  #call(key: string, method: string, path: string, body?: object | string, headers: Record<string, string> = {}) {
    const idempotencyKey = method === 'POST' ? randomUUID() : undefined;
    const sent = typeof body === 'string' ? { text: { type: 'text/csv', content: body } } : { body };
    return callApi({ url: this.url, key, method, path, ...sent, idempotencyKey, headers });
  }
}

export function transfer(from: string, to: string, fields: object = {}): object {
  const entry = { amount: '1', currency: 'EUR' };
  const entries = [
    { ...entry, account_code: from, direction: 'debit' },
    { ...entry, account_code: to, direction: 'credit' },
  ];
  return { type: 'transfer', entries, ...fields };
}
