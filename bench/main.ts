import { randomBytes } from 'node:crypto';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import pg from 'pg';
import { compareLayouts } from '#db/bench/layout.js';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { sqlFile } from '#db/bench/sql-file.js';
import { startApi } from './api-process.js';
import { openBook } from './book.js';
import { CacheCallers } from './cache-callers.js';
import { chosen } from './chosen.js';
import { postmasterOf } from './cpu.js';
import { Generator } from './generator-process.js';
import { LoneCaller } from './lone-caller.js';
import { OutboxTrials } from './outbox-trials.js';
import { findPgbench, PGBENCH_MISSING } from './pgbench.js';
import { ratioTable, trialTable } from './report.js';
import type { BenchMerchant } from './requests.js';
import { openSpanSink } from './span-sink.js';
import { BATCH_CALLERS, ORDER, type Round, runRound } from './trials.js';

/** `npm run bench`: the write path over HTTP beside a reference function in pgbench, on one server, in alternating rounds. */

const ROOT = join(import.meta.dirname, '..', '..');

interface Options {
  rounds: number;
  seconds: number;
  warmUpSeconds: number;
  merchants: number;
  accounts: number;
  layoutRows: number;
  batchCallers: number;
  coldReads: number;
  /** Names of trials, for a closer look at one of them; empty: all, and the layouts. */
  only: readonly string[];
  /** Without verdicts: the trials are too short for them. */
  smoke: boolean;
  /** The compiled API. */
  api: string;
}

const FULL: Options = {
  only: [],
  smoke: false,
  rounds: 5,
  seconds: 4,
  warmUpSeconds: 1,
  merchants: 20,
  accounts: 1_000,
  layoutRows: 300_000,
  batchCallers: BATCH_CALLERS,
  coldReads: 10_000,
  api: join(ROOT, 'dist/apps/api/src/main.js'),
};
/** Every row in seconds; its figures say nothing. */
const SMOKE: Options = {
  ...FULL,
  smoke: true,
  rounds: 1,
  seconds: 0.05,
  warmUpSeconds: 0.01,
  merchants: 2,
  accounts: 20,
  layoutRows: 10_000,
  batchCallers: 2,
  coldReads: 400,
};

function readOptions(): Options {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      smoke: { type: 'boolean', default: false },
      rounds: text,
      seconds: text,
      merchants: text,
      accounts: text,
      'layout-rows': text,
      only: text,
      api: text,
    },
  });
  const defaults = values.smoke ? SMOKE : FULL;
  const positive = (
    name: 'rounds' | 'seconds' | 'merchants' | 'accounts' | 'layout-rows',
    otherwise: number,
  ): number => {
    const value = Number(values[name] ?? otherwise);
    if (!(value > 0)) throw new Error(`--${name} wants a number above 0`);
    return value;
  };
  return {
    ...defaults,
    rounds: positive('rounds', defaults.rounds),
    seconds: positive('seconds', defaults.seconds),
    merchants: positive('merchants', defaults.merchants),
    accounts: positive('accounts', defaults.accounts),
    layoutRows: positive('layout-rows', defaults.layoutRows),
    only: values.only === undefined ? defaults.only : chosen(values.only, ORDER),
    api: values.api ?? defaults.api,
  };
}

/** Undoes, in reverse order, whatever had been set up when the work ended or failed. */
class Cleanup {
  readonly #steps: (() => Promise<unknown>)[] = [];
  #done: Promise<void> | undefined;

  add(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  /** A second call waits for the first one. A step that fails does not keep the others from running. */
  run(): Promise<void> {
    this.#done ??= this.#runAll();
    return this.#done;
  }

  async #runAll(): Promise<void> {
    for (const step of this.#steps.reverse()) {
      await step().catch((error: Error) => progress(`clean-up: ${error.message}`));
    }
  }
}

async function main(): Promise<void> {
  const options = readOptions();
  const serverUrl = process.env.DATABASE_URL;
  const redisUrl = process.env.REDIS_URL;
  const queueUrl = process.env.REDIS_QUEUE_URL;
  if (!serverUrl || !redisUrl || !queueUrl)
    throw new Error('DATABASE_URL, REDIS_URL or REDIS_QUEUE_URL is not set; start this through `npm run bench`');
  const pgbench = findPgbench();
  if (!pgbench) console.log(`${PGBENCH_MISSING}\n`);
  const cleanup = new Cleanup();
  let stopAsked = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stopAsked = true;
      void cleanup.run();
    });
  }
  try {
    const rounds = await measureWrites({ serverUrl, redisUrl, queueUrl }, options, pgbench, cleanup);
    const layout =
      options.only.length === 0
        ? await measureLayout(serverUrl, options)
        : { vacuumed: Number.NaN, newest: Number.NaN };
    console.log(
      `\n${ratioTable(rounds, { layout, coldReads: options.coldReads, verdicts: !options.smoke })}\n\n${trialTable(rounds)}\n`,
    );
    console.log(
      'CPU, calls of Redis (commands that their scripts ran) and balances read from PostgreSQL are per transaction or read.',
    );
    console.log("The reference counts pgbench's own transactions: one SQL call each, 16 clients, -M prepared.");
    console.log(
      'The generator and, in "writer" and "by hand", the harness take their CPU from the same cores as API and PostgreSQL.',
    );
  } catch (error) {
    // Whatever the trials under way say when their servers are taken away is of no interest.
    if (!stopAsked) throw error;
  } finally {
    await cleanup.run();
  }
  if (stopAsked) process.exit(130);
}

async function measureWrites(
  { serverUrl, redisUrl, queueUrl }: { serverUrl: string; redisUrl: string; queueUrl: string },
  options: Options,
  pgbench: string | undefined,
  cleanup: Cleanup,
): Promise<Round[]> {
  const { merchants, accounts, batchCallers, coldReads } = options;
  const scratch = await scratchDatabase(serverUrl, 'bench');
  cleanup.add(() => scratch.drop());
  const owner = new pg.Client({ connectionString: scratch.url });
  await owner.connect();
  cleanup.add(() => owner.end());
  const operatorKey = `cfo_${randomBytes(24).toString('hex')}`;
  const env = {
    DATABASE_URL: scratch.url,
    DATABASE_RUNTIME_URL: scratch.runtimeUrl,
    COUNTERFOIL_OPERATOR_KEY: operatorKey,
  };
  const api = await startApi(options.api, env);
  cleanup.add(() => api.stop());
  const other = await startApi(options.api, env);
  cleanup.add(() => other.stop());
  const plain = await startApi(options.api, { ...env, REDIS_URL: undefined });
  cleanup.add(() => plain.stop());
  const withoutEvents = await startApi(join(import.meta.dirname, 'api-without-events.js'), env);
  cleanup.add(() => withoutEvents.stop());
  const spans = await openSpanSink();
  cleanup.add(() => spans.stop());
  const traced = await startApi(options.api, {
    ...env,
    OTEL_EXPORTER_OTLP_ENDPOINT: spans.url,
    TRACE_SAMPLE_RATIO: '0.01',
  });
  cleanup.add(() => traced.stop());
  const redis = new Redis(redisUrl);
  cleanup.add(async () => redis.disconnect());
  const queue = new Redis(queueUrl);
  cleanup.add(async () => queue.disconnect());
  const bare = await startApi(join(import.meta.dirname, 'bare-server.js'), {});
  cleanup.add(() => bare.stop());
  const generator = new Generator();
  cleanup.add(async () => generator.stop());

  const startedAt = performance.now();
  const book = await Promise.race([openBook(api.port, operatorKey, merchants, accounts), api.lost]);
  generator.use(book);
  for (const statement of referenceStatements(merchants, accounts)) await owner.query(statement);
  await owner.query('VACUUM ANALYZE');
  progress(
    `${merchants} merchants × ${accounts} accounts opened in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`,
  );
  const loneCaller = await LoneCaller.open(scratch.runtimeUrl, book);
  cleanup.add(() => loneCaller.close());
  const cacheCallers = await CacheCallers.open(scratch.url, scratch.runtimeUrl, book);
  cleanup.add(() => cacheCallers.close());

  await describe(owner, options);
  const backend = await owner.query('SELECT pg_backend_pid() AS pid');
  const postmasterPid = postmasterOf(backend.rows[0].pid);
  const outbox = await OutboxTrials.open({
    worker: join(import.meta.dirname, '..', 'apps', 'worker', 'src', 'main.js'),
    env,
    owner,
    redis: [redis, queue],
    postmasterPid,
    generator,
    batchCallers,
    apiPort: api.port,
    merchant: book[0] as BenchMerchant,
  });
  const bench = {
    api,
    'without events': withoutEvents,
    traced,
    outbox,
    plain,
    bare,
    other,
    redis,
    merchant: book[0] as BenchMerchant,
    generator,
    loneCaller,
    cacheCallers,
    reference: pgbench === undefined ? undefined : { pgbench, databaseUrl: scratch.url, merchants, accounts },
    only: options.only,
    batchCallers,
    coldReads,
    postmasterPid,
    times: { warmUpMs: options.warmUpSeconds * 1_000, measureMs: options.seconds * 1_000 },
    onRefused: (trial: string, count: number, first: string) => {
      console.log(`${trial}: ${count} requests were refused, the first with ${first}`);
      process.exitCode = 1;
    },
  };
  const rounds: Round[] = [];
  for (let number = 1; number <= options.rounds; number += 1) {
    rounds.push(await runRound(bench, number));
    progress(`round ${number} of ${options.rounds} done`);
  }
  return rounds;
}

/** VACUUM must stand alone in its message. */
function referenceStatements(merchants: number, accounts: number): string[] {
  return sqlFile('reference.sql', { merchants, accounts }).split(/\n(?=VACUUM)/);
}

async function measureLayout(serverUrl: string, options: Options): Promise<{ vacuumed: number; newest: number }> {
  const rows = options.layoutRows;
  const { vacuumed, newest } = await compareLayouts(serverUrl, {
    rows,
    merchants: Math.ceil(rows / 2_000),
    tiny: 5,
    freshRows: Math.ceil(rows / 100),
    sample: 50,
    dropOsCache: false,
  });
  return { vacuumed: vacuumed.median, newest: newest.median };
}

async function describe(owner: pg.Client, options: Options): Promise<void> {
  const { rows } = await owner.query(
    `SELECT current_setting('server_version') AS version, current_setting('synchronous_commit') AS commit, current_setting('fsync') AS fsync`,
  );
  const [server] = rows;
  console.log(
    `PostgreSQL ${server.version}, synchronous_commit ${server.commit}, fsync ${server.fsync}; Node ${process.versions.node}; ` +
      `${cpus().length} cores for server, API and load generator together.`,
  );
  console.log(
    `${options.rounds} alternating rounds of ${options.seconds} s a trial; ${options.merchants} merchants × ${options.accounts} accounts; ` +
      'ratios within a round, then their median (min–max).',
  );
}

function progress(line: string): void {
  console.error(`# ${line}`);
}

await main();
