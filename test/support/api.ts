import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { inject } from 'vitest';
import { systemAccounts } from '#ledger/accounts/system-accounts.js';
import { createLogger } from '#platform/logging.js';
import { type Api, startApi } from '../../apps/api/src/api.js';
import { type Config, readConfig } from '../../apps/config.js';
import { freshDatabase, type TestDatabase } from './database.js';
import { pollMs } from './until.js';

/** How many a merchant has of each currency, and as many events when it begins. */
export const SYSTEM_ACCOUNTS = systemAccounts(['EUR'], () => 0n).length;

/** Where another limit is to be reached, which floods are for. */
export const WITHOUT_BUDGETS = {
  LIMIT_UNITS_PER_SECOND: '100000000',
  LIMIT_BURST_UNITS: '100000000',
  LIMIT_UNITS_IN_FLIGHT: '100000000',
};

export const OPERATOR_KEY = `cfo_${'0'.repeat(40)}`;

// biome-ignore lint/suspicious/noExplicitAny: bodies are looked into at will; the contract test holds their shape.
export type Json = any;

export interface Answer {
  method: string;
  /** As asked for, query included. */
  path: string;
  status: number;
  headers: Headers;
  text: string;
  /** Undefined when the body is empty or no JSON. */
  body: Json;
}

export interface Ask {
  body?: unknown;
  /** Sent as it is, instead of `body`. */
  raw?: string | Uint8Array<ArrayBuffer>;
  /** Idempotency-Key. */
  key?: string;
  headers?: Record<string, string>;
}

const COUNT_ROWS = `
SELECT relname, (xpath('//count/text()', query_to_xml(format('SELECT count(*) FROM %I', relname), false, true, '')))[1]::text AS count
  FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT IN ('worker_leases', 'merchant_usage', 'usage_flushes') ORDER BY relname`;

/** The API on a real port and a database of its own; `on` shares a database between several. */
export class TestApi {
  /** Everything that was logged as an error: a 500 leaves one here. */
  readonly errors: string[];
  readonly #api: Api;
  readonly #ownsDatabase: boolean;
  #counter: pg.Client | undefined;
  readonly #watchers: ((answer: Answer) => void)[] = [];

  private constructor(
    api: Api,
    readonly on: TestDatabase,
    ownsDatabase: boolean,
    errors: string[],
  ) {
    this.#api = api;
    this.#ownsDatabase = ownsDatabase;
    this.errors = errors;
  }

  /** `environment` as a process would be given it; `config` for what no environment may say, such as a pool of one. */
  static async start(
    options: { on?: TestDatabase; environment?: Record<string, string>; config?: Partial<Config> } = {},
  ): Promise<TestApi> {
    const on = options.on ?? (await freshDatabase());
    const config = readConfig({
      PORT: '0',
      DATABASE_URL: on.ownerUrl,
      DATABASE_RUNTIME_URL: on.runtimeUrl,
      COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
      LOG_LEVEL: 'error',
      REDIS_URL: inject('redisUrl'),
      SHUTDOWN_GRACE_MS: '0',
      ...options.environment,
    });
    const errors: string[] = [];
    const sink = new Writable({
      write: (chunk, _encoding, done) => {
        errors.push(String(chunk));
        done();
      },
    });
    const logger = createLogger({ level: config.logLevel, service: 'test' }, sink);
    const api = await startApi({ ...config, ...options.config }, { logger });
    return new TestApi(api, on, options.on === undefined, errors);
  }

  get url(): string {
    return this.#api.url;
  }

  /** What `/metrics` says. The environment must name a METRICS_PORT. */
  async metrics(): Promise<string> {
    return (await fetch(this.#api.metricsUrl as string)).text();
  }

  /** The Nest application, for what has no route: the worker's duties. */
  get app(): Api['app'] {
    return this.#api.app;
  }

  async stop(): Promise<void> {
    await this.#api.stop();
    await this.#counter?.end();
    if (this.#ownsDatabase) await this.on.drop();
  }

  /** Rows of every table, but for what processes write by themselves: leases that they renew, and what was used. */
  async countRows(): Promise<Record<string, number>> {
    const { rows } = await (await this.#counting()).query(COUNT_ROWS);
    return Object.fromEntries(rows.map(({ relname, count }) => [relname, Number(count)]));
  }

  async #counting(): Promise<pg.Client> {
    if (!this.#counter) {
      this.#counter = new pg.Client({ connectionString: this.on.ownerUrl });
      await this.#counter.connect();
    }
    return this.#counter;
  }

  /** All events of a merchant, as it is told them. Other databases' transactions on this server may hold some back for a while. */
  async logOf({ id, client }: Merchant): Promise<Json[]> {
    const { rows } = await (await this.#counting()).query('SELECT FROM events WHERE merchant_id = $1', [id]);
    let log: Json[] = [];
    await until(async () => {
      log = (await client.get('/v1/events?limit=1000')).body.data;
      return log.length === rows.length;
    });
    return log;
  }

  /** Calls back with every answer that a client of this API gets from now on. */
  watch(watcher: (answer: Answer) => void): void {
    this.#watchers.push(watcher);
  }

  /** An answer that came in another way. */
  watched(answer: Answer): void {
    for (const watcher of this.#watchers) watcher(answer);
  }

  client(headers: Record<string, string> = {}): Client {
    return new Client(this.url, headers, (answer) => this.watched(answer));
  }

  get operator(): Client {
    return this.client({ authorization: `Bearer ${OPERATOR_KEY}` });
  }

  withKey(secret: string): Client {
    return this.client({ authorization: `Bearer ${secret}` });
  }

  actingFor(merchantId: string): Client {
    return this.client({ authorization: `Bearer ${OPERATOR_KEY}`, 'counterfoil-merchant': merchantId });
  }

  /** A merchant with a client of its own. */
  merchant(...currencies: string[]): Promise<Merchant> {
    return this.#open({ currencies: currencies.length > 0 ? currencies : ['EUR'] });
  }

  merchantIn(time_zone: string): Promise<Merchant> {
    return this.#open({ time_zone });
  }

  async #open(facts: object): Promise<Merchant> {
    const defaults = { name: 'Test', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
    const { body } = await this.operator.post('/v1/merchants', { body: { ...defaults, ...facts } });
    const accounts = Object.fromEntries(body.accounts.map((account: Json) => [account.code, account.id]));
    return new Merchant(body.id, this.withKey(body.api_key.secret), body.api_key, accounts);
  }

  /** Sends bytes as they are and answers everything that came back until the connection ended. */
  raw(bytes: string | Buffer, options: { end?: boolean; timeoutMs?: number } = {}): Promise<string> {
    const { hostname, port } = new URL(this.url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname);
      let received = '';
      socket.setTimeout(options.timeoutMs ?? 20_000, () => socket.destroy(new Error(`no end; so far: ${received}`)));
      socket.on('data', (chunk) => (received += chunk.toString('latin1')));
      // A server that refuses an upload resets the connection: what it said before is the answer.
      socket.on('error', (error) => (received === '' ? reject(error) : resolve(received)));
      socket.on('close', () => resolve(received));
      socket.on('connect', () => (options.end ? socket.end(bytes) : socket.write(bytes)));
    });
  }
}

/** Asks with the same headers each time. */
export class Client {
  constructor(
    readonly url: string,
    readonly headers: Record<string, string>,
    private readonly onAnswer: (answer: Answer) => void = () => undefined,
  ) {}

  get(path: string, ask?: Ask): Promise<Answer> {
    return this.request('GET', path, ask);
  }

  post(path: string, ask?: Ask): Promise<Answer> {
    return this.request('POST', path, ask);
  }

  async request(method: string, path: string, ask: Ask = {}): Promise<Answer> {
    const headers: Record<string, string> = { ...this.headers };
    const payload = ask.raw ?? (ask.body === undefined ? undefined : JSON.stringify(ask.body));
    if (payload !== undefined) headers['content-type'] = 'application/json';
    if (ask.key !== undefined) headers['idempotency-key'] = ask.key;
    Object.assign(headers, ask.headers);
    const response = await fetch(this.url + path, { method, headers, ...(payload !== undefined && { body: payload }) });
    const text = await response.text();
    const answer = { method, path, status: response.status, headers: response.headers, text, body: parsed(text) };
    this.onAnswer(answer);
    return answer;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One tenant, with short forms of what most tests need. */
export class Merchant {
  constructor(
    readonly id: string,
    readonly client: Client,
    readonly apiKey: { id: string; secret: string },
    /** Ids by code. */
    readonly accounts: Record<string, string>,
  ) {}

  /** The same merchant by way of another process. */
  via(api: TestApi): Merchant {
    return new Merchant(this.id, api.withKey(this.apiKey.secret), this.apiKey, this.accounts);
  }

  /** Opens an account; answers its id. */
  async open(code: string, more: object = {}): Promise<string> {
    const body = { code, name: code, currency: 'EUR', normal_side: 'credit', ...more };
    const answer = await this.client.post('/v1/accounts', { body });
    if (answer.status !== 201) throw new Error(`account ${code}: ${answer.text}`);
    this.accounts[code] = answer.body.id;
    return answer.body.id;
  }

  /** Opens accounts whose codes begin with `name`: a payer without a floor and a wallet that may not fall below zero. */
  async pair(name: string): Promise<{ payer: string; wallet: string; payerId: string; walletId: string }> {
    const [payer, wallet] = [`${name}:payer`, `${name}:wallet`];
    return {
      payer,
      wallet,
      payerId: await this.open(payer),
      walletId: await this.open(wallet, { min_available: '0' }),
    };
  }

  async balanceOf(accountId: string, query = ''): Promise<Json> {
    return (await this.client.get(`/v1/accounts/${accountId}/balance${query}`)).body;
  }

  /** Posts under a key of its own unless one is given. */
  post(body: object, key: string = randomUUID()): Promise<Answer> {
    return this.client.post('/v1/transactions', { body, key });
  }

  /** Posts and expects it to be accepted; answers the transaction. */
  async posted(body: object): Promise<Json> {
    const answer = await this.post(body);
    if (answer.status !== 201) throw new Error(`not posted: ${answer.text}`);
    return answer.body;
  }

  move(id: string, what: 'post' | 'void' | 'reverse', body?: object, key: string = randomUUID()): Promise<Answer> {
    return this.client.post(`/v1/transactions/${id}/${what}`, { key, ...(body && { body }) });
  }
}

/** Two entries: debit `from`, credit `to`, by account code. */
export function transfer(from: string, to: string, amount: unknown, more: Record<string, unknown> = {}): Json {
  const currency = typeof more.currency === 'string' ? more.currency : 'EUR';
  const { currency: _, ...rest } = more;
  return {
    type: 'transfer',
    entries: [
      { account_code: from, direction: 'debit', amount, currency },
      { account_code: to, direction: 'credit', amount, currency },
    ],
    ...rest,
  };
}

async function asOwner<T>(on: TestDatabase, work: (owner: pg.Client) => Promise<T>): Promise<T> {
  const owner = new pg.Client({ connectionString: on.ownerUrl });
  await owner.connect();
  try {
    return await work(owner);
  } finally {
    await owner.end();
  }
}

/** Holds an account's balance row, so that every posting on it waits, until `work` has ended. */
export async function whileLocked<T>(
  on: TestDatabase,
  accountId: string,
  work: (locker: Locker) => Promise<T>,
): Promise<T> {
  // Watched on a connection of its own: within a transaction pg_stat_activity stands still.
  return asOwner(on, (watcher) =>
    asOwner(on, async (owner) => {
      await owner.query('BEGIN');
      await owner.query('SELECT 1 FROM balances WHERE account_id = $1 FOR UPDATE', [accountId]);
      let held = true;
      const release = async (): Promise<void> => {
        if (held) await owner.query('ROLLBACK');
        held = false;
      };
      try {
        return await work({ release, waiters: (count) => untilWaiting(watcher, count) });
      } finally {
        await release();
      }
    }),
  );
}

export interface Locker {
  release(): Promise<void>;
  /** Resolves once that many backends wait for a lock of this database. */
  waiters(count: number): Promise<void>;
}

async function untilWaiting(watcher: pg.Client, count: number): Promise<void> {
  await until(async () => {
    const { rows } = await watcher.query(
      `SELECT count(DISTINCT a.pid)::int AS count FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted
        WHERE a.datname = current_database()`,
    );
    return rows[0].count >= count;
  });
}

/** Polls until it is so. Throws after `withinMs`. */
export async function until(isSo: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const from = performance.now();
  while (!(await isSo())) {
    const waitedMs = performance.now() - from;
    if (waitedMs > withinMs) throw new Error(`not so within ${withinMs} ms: ${isSo}`);
    await sleep(pollMs(waitedMs));
  }
}
