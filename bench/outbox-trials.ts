import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type pg from 'pg';
import { percentile } from '#db/bench/text-table.js';
import { openAccounts } from './book.js';
import { drain, untilRegistered } from './drain.js';
import type { Generator } from './generator-process.js';
import { HttpConnection } from './http-connection.js';
import { type BenchMerchant, type Load, postRequest } from './requests.js';
import type { Idle, Times, TrialResult } from './trial-result.js';
import { WorkerProcess } from './worker-process.js';

/** Postings a second whose way to the read model is measured, beside the load. */
const PROBES_PER_SECOND = 50;
/** Some of what is counted comes every few seconds only; PostgreSQL's backends tell their counts once a second. */
const IDLE_TIMES = 3;
const STATISTICS_MS = 2_000;
const BATCH = { spread: 'uniform', batch: 100, lateMs: 0 } as const;
const SINGLE = { callers: 64, spread: 'uniform', batch: 1, lateMs: 0 } as const;

/** Of probes, each on an account of its own: from the commit of the entry to that of its summary. $1 accounts. */
const LAGS = `
SELECT (extract(epoch FROM pg_xact_commit_timestamp(d.xmin) - pg_xact_commit_timestamp(e.xmin)) * 1000)::float8 AS ms
  FROM entries e JOIN daily_summaries d USING (merchant_id, account_id) WHERE e.account_id = ANY ($1::bigint[])`;

export interface OutboxParts {
  worker: string;
  env: NodeJS.ProcessEnv;
  owner: pg.Client;
  redis: readonly Redis[];
  postmasterPid: number | undefined;
  generator: Generator;
  batchCallers: number;
  apiPort: number;
  merchant: BenchMerchant;
}

/** Trials of relay and consumers: no worker runs but within one of them. */
export class OutboxTrials {
  readonly #parts: OutboxParts;
  #probes = 0;

  private constructor(parts: OutboxParts) {
    this.#parts = parts;
  }

  static async open(parts: OutboxParts): Promise<OutboxTrials> {
    const trials = new OutboxTrials(parts);
    await trials.#working(() => untilRegistered(parts.owner));
    return trials;
  }

  /** What the load of a trial, and trials before, have left, drained by one worker and its consumers. */
  async drain({ warmUpMs, measureMs }: Times): Promise<TrialResult> {
    const { owner, postmasterPid, batchCallers: callers } = this.#parts;
    await this.#load({ ...BATCH, callers, warmUpMs, measureMs });
    const drained = await this.#working((worker) => drain(owner, postmasterPid, () => worker));
    const { workerUs, consumersUs, postgresUs } = drained.cpu;
    return {
      ...UNMEASURED,
      perSecond: drained.perSecond,
      cpu: { apiUs: undefined, postgresUs, generatorUs: 0, relayUs: workerUs, consumersUs },
    };
  }

  /** From COMMIT to the read model, while half of what this machine can post with a worker beside it is posted. */
  async lag(times: Times): Promise<TrialResult | undefined> {
    const { owner, postmasterPid } = this.#parts;
    const { rows } = await owner.query(`SELECT current_setting('track_commit_timestamp') AS tracked`);
    if (rows[0].tracked !== 'on') return undefined;
    const { merchant, apiPort } = this.#parts;
    const count = Math.ceil((PROBES_PER_SECOND * times.measureMs) / 1_000);
    this.#probes += 1;
    const accounts = await openAccounts(apiPort, merchant, count, `probe:${this.#probes}`);
    return this.#working(async (worker) => {
      const full = await this.#load({ ...SINGLE, ...times });
      await drain(owner, postmasterPid, () => worker);
      const perSecond = full.requests / full.seconds / 2;
      const half = this.#load({ ...SINGLE, warmUpMs: times.warmUpMs, measureMs: times.measureMs, perSecond });
      await sleep(times.warmUpMs);
      await Promise.all([this.#probe(accounts, times.measureMs), half]);
      await drain(owner, postmasterPid, () => worker);
      const lags = (await owner.query<{ ms: number }>(LAGS, [accounts])).rows.map(({ ms }) => ms);
      return {
        perSecond,
        p50: percentile(lags, 0.5),
        p99: percentile(lags, 0.99),
        p999: percentile(lags, 0.999),
      };
    });
  }

  /** What one worker costs that has nothing to do, beside what the rest of the house costs without it. */
  async idle({ measureMs }: Times): Promise<TrialResult> {
    const without = await this.#rates(measureMs, undefined);
    return this.#working(async (worker) => {
      await drain(this.#parts.owner, this.#parts.postmasterPid, () => worker);
      await sleep(STATISTICS_MS);
      const withIt = await this.#rates(measureMs, worker);
      const idle = {
        cpuPercent: withIt.cpuPercent,
        transactions: withIt.transactions - without.transactions,
        commands: withIt.commands - without.commands,
      };
      return { ...UNMEASURED, perSecond: Number.NaN, idle };
    });
  }

  async #rates(measureMs: number, worker: WorkerProcess | undefined): Promise<Idle> {
    const count = async () => {
      const cpu = worker?.cpuMs();
      return {
        cpu: cpu ? cpu.worker + cpu.consumers : 0,
        transactions: await this.#transactions(),
        commands: await this.#commands(),
        at: performance.now(),
      };
    };
    const before = await count();
    await sleep(IDLE_TIMES * measureMs);
    const after = await count();
    const seconds = (after.at - before.at) / 1_000;
    return {
      cpuPercent: (after.cpu - before.cpu) / seconds / 10,
      transactions: (after.transactions - before.transactions) / seconds,
      commands: (after.commands - before.commands) / seconds,
    };
  }

  async #transactions(): Promise<number> {
    const { rows } = await this.#parts.owner.query(
      'SELECT xact_commit::int AS done FROM pg_stat_database WHERE datname = current_database()',
    );
    return rows[0].done;
  }

  async #commands(): Promise<number> {
    const texts = await Promise.all(this.#parts.redis.map((redis) => redis.info('stats')));
    return texts.reduce((sum, text) => sum + Number(/total_commands_processed:(\d+)/.exec(text)?.[1]), 0);
  }

  async #probe(accounts: readonly string[], withinMs: number): Promise<void> {
    const { merchant, apiPort } = this.#parts;
    const connection = await HttpConnection.open(apiPort);
    const beganAt = performance.now();
    try {
      for (const [index, account] of accounts.entries()) {
        await sleep(Math.max(0, beganAt + (index * withinMs) / accounts.length - performance.now()));
        const entry = { amount: '1', currency: 'EUR' };
        const body = JSON.stringify({
          type: 'probe',
          entries: [
            { ...entry, account_id: merchant.accounts[0], direction: 'debit' },
            { ...entry, account_id: account, direction: 'credit' },
          ],
        });
        const target = { route: '/v1/transactions', apiKey: merchant.apiKey, body, idempotencyKey: `probe-${account}` };
        const { status } = await connection.exchange(postRequest(target));
        if (status !== 201) throw new Error(`a probe was answered by ${status}`);
      }
    } finally {
      connection.close();
    }
  }

  #load(load: Omit<Load, 'port'>) {
    const { generator, apiPort } = this.#parts;
    return generator.run({ ...load, port: apiPort }, { measuring: () => undefined, measured: () => undefined });
  }

  async #working<T>(work: (worker: WorkerProcess) => Promise<T>): Promise<T> {
    const worker = await WorkerProcess.start(this.#parts.worker, this.#parts.env);
    try {
      return await work(worker);
    } finally {
      await worker.end('SIGTERM');
    }
  }
}

const UNMEASURED = { p50: Number.NaN, p99: Number.NaN, p999: Number.NaN };
