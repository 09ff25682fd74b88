import pg from 'pg';
import type { TestDatabase } from './database.js';
import { until } from './until.js';

/** A superuser's connection that stands in the ledger's way: holds row locks, watches who waits, ends backends. */
export class Bystander {
  private constructor(
    readonly client: pg.Client,
    private readonly watcher: pg.Client,
  ) {}

  static async open(on: TestDatabase): Promise<Bystander> {
    const [client, watcher] = [
      new pg.Client({ connectionString: on.ownerUrl }),
      new pg.Client({ connectionString: on.ownerUrl }),
    ];
    // A server that restarts ends them; whoever asks then is told.
    for (const one of [client, watcher]) one.on('error', () => undefined);
    await Promise.all([client.connect(), watcher.connect()]);
    return new Bystander(client, watcher);
  }

  async close(): Promise<void> {
    await Promise.all([this.client.end(), this.watcher.end()]);
  }

  async lockBalance(accountId: bigint): Promise<void> {
    await this.client.query('BEGIN');
    await this.client.query('SELECT 1 FROM balances WHERE account_id = $1 FOR UPDATE', [accountId]);
  }

  async release(): Promise<void> {
    await this.client.query('ROLLBACK');
  }

  /** Backends that wait for a lock: the writers', where nobody else is named. */
  async waiting(application = 'counterfoil-writer'): Promise<number[]> {
    const { rows } = await this.watcher.query<{ pid: number }>(
      `SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE NOT l.granted AND a.datname = current_database() AND a.application_name = $1 ORDER BY 1`,
      [application],
    );
    return rows.map(({ pid }) => pid);
  }

  async untilWaiting(count = 1): Promise<number[]> {
    return until(`${count} writers wait for a lock`, async () => {
      const waiting = await this.waiting();
      return waiting.length >= count && waiting;
    });
  }

  /** A writer has written its group, token included, and waits to be told COMMIT: a settle will have to wait for it. */
  async untilWritten(): Promise<void> {
    await until('a writer has written its token', async () => {
      const { rowCount } = await this.watcher.query(`
        SELECT 1 FROM pg_stat_activity a JOIN pg_locks l USING (pid)
         WHERE a.datname = current_database() AND a.application_name = 'counterfoil-writer'
           AND a.state = 'idle in transaction' AND l.relation = 'write_fences'::regclass AND l.mode = 'RowExclusiveLock'`);
      return rowCount !== 0;
    });
  }

  async terminate(pid: number): Promise<void> {
    await this.watcher.query('SELECT pg_terminate_backend($1, 10000)', [pid]);
  }

  /** One row of any query. */
  async one<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row> {
    const { rows } = await this.watcher.query<Row>(text, values);
    if (rows.length !== 1) throw new Error(`${rows.length} rows instead of one: ${text}`);
    return rows[0] as Row;
  }

  /** Transactions and keys that a key left behind. */
  async effectsOf(key: string): Promise<{ keys: number; transactions: number }> {
    return this.one(
      `SELECT count(k.key)::int AS keys, count(t.id)::int AS transactions
      FROM idempotency_keys k LEFT JOIN transactions t ON t.id = k.transaction_id WHERE k.key = $1`,
      [key],
    );
  }
}
