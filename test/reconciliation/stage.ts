import type pg from 'pg';
import { Build, Service } from '../histories/servers.js';
import { Client, OPERATOR_KEY } from '../support/api.js';
import { asAdmin, type TestDatabase } from '../support/database.js';
import { type PrivatePostgres, privatePostgres } from '../support/postgres.js';
import { type PrivateRedis, privateRedis } from '../support/redis.js';
import { until } from '../support/until.js';

/** Servers and processes of these faults' own, as all of them are struck. */

export type Struck = 'worker' | 'api' | 'postgres' | 'queue';

/** Many small steps, and whoever takes over does so soon. */
const SETTINGS = {
  COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
  PORT: '0',
  LOG_LEVEL: 'error',
  RECONCILIATION_STAGE_ROWS: '50',
  RECONCILIATION_MERCHANT_UPLOADS: '4',
  RECONCILIATION_SILENCE_MS: '3000',
  RECONCILIATION_CHUNK_ROWS: '15',
  RECONCILIATION_BREAKS_AT_ONCE: '3',
  RECONCILIATION_INTERVAL_MS: '200',
  RECONCILIATION_JOB_LOCK_MS: '500',
};

export class Stage {
  readonly counts = new Map<string, number>();

  private constructor(
    readonly postgres: PrivatePostgres,
    readonly queue: PrivateRedis,
    readonly on: TestDatabase,
    readonly build: Build,
    readonly api: Service,
    readonly worker: Service,
  ) {}

  static async open(redisUrl: string): Promise<Stage> {
    const build = new Build(undefined);
    const [postgres, queue] = await Promise.all([privatePostgres(), privateRedis('queue')]);
    const on = await postgres.database('struck');
    const env = {
      ...{ PATH: process.env.PATH, DATABASE_URL: on.ownerUrl, DATABASE_RUNTIME_URL: on.runtimeUrl },
      ...{ REDIS_URL: redisUrl, REDIS_QUEUE_URL: queue.url, ...SETTINGS },
    };
    const api = new Service('api', build, 'dist/apps/api/src/main.js', env);
    const worker = new Service('worker', build, 'dist/apps/worker/src/main.js', env);
    await api.start();
    return new Stage(postgres, queue, on, build, api, worker);
  }

  async close(): Promise<void> {
    await Promise.all([this.api.crash(), this.worker.crash()]);
    await Promise.all([this.postgres.stop(), this.queue.stop()]);
    this.build.remove();
  }

  /** Where the API listens now: another place after each of its deaths. */
  get url(): string {
    return this.api.url as string;
  }

  client(headers: Record<string, string> = {}): Client {
    return new Client(this.url, { authorization: `Bearer ${OPERATOR_KEY}`, ...headers });
  }

  /** Kills it without a chance to say anything, and starts it again. */
  async strike(what: Struck, when: string): Promise<void> {
    const name = `${what} ${when}`;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    if (what === 'postgres') await this.postgres.crash();
    else if (what === 'queue') await this.queue.crash();
    else {
      await this[what].crash();
      await this[what].start();
    }
  }

  /** As the owner, once there is a server. */
  read(text: string, values: readonly unknown[]): Promise<pg.QueryResult['rows']> {
    return until('PostgreSQL answers', async () => {
      try {
        return (await asAdmin(this.on.ownerUrl, (owner) => owner.query(text, [...values]))).rows;
      } catch (error) {
        if (/ECONN|ENOENT|terminat|starting up|shutting down|recovery/.test(String(error))) return false;
        throw error;
      }
    });
  }
}
