import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { median, textTable } from '#db/bench/text-table.js';
import { readConfig } from '../apps/config.js';
import { callApi } from '../scripts/call-api.mjs';
import { admissionUs } from './admission.js';
import { startApi } from './api-process.js';
import { openBook } from './book.js';
import { cpuOfMs, cpuOfServerMs, postmasterOf } from './cpu.js';
import { HttpConnection } from './http-connection.js';
import { OPERATOR_KEY } from './night-service.js';
import { type BenchMerchant, balanceRequest, RequestSource } from './requests.js';

/** `npm run bench:limits`: what limits cost who is within them, and what it costs to refuse who is not. See docs/figures/limits.md. */

const { values } = parseArgs({ options: { rounds: { type: 'string' }, seconds: { type: 'string' } } });
const rounds = Number(values.rounds ?? 20);
const windowMs = Number(values.seconds ?? 0.7) * 1_000;
const CALLERS = 64;
const ACCOUNTS = 100;
const NOTHING_LEFT = { units_per_second: 1, burst_units: 1, units_in_flight: 1 };

const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:limits');

interface Api {
  port: number;
  pid: number;
}

interface Load {
  what: string;
  api: Api;
  next: () => string;
  status: number;
  /** CPU of a request, of each window, in µs: of the API, and of PostgreSQL. */
  apiUs: number[];
  postgresUs: number[];
}

const scratch = await scratchDatabase(serverUrl, 'limits');
const owner = new pg.Client({ connectionString: scratch.url });
const cleanup: (() => unknown)[] = [() => scratch.drop(), () => owner.end()];
try {
  await owner.connect();
  const env = {
    DATABASE_URL: scratch.url,
    DATABASE_RUNTIME_URL: scratch.runtimeUrl,
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
  };
  const start = async (...file: string[]): Promise<Api> => {
    const api = await startApi(join(import.meta.dirname, ...file), env);
    cleanup.push(() => api.stop());
    return api;
  };
  const within = await start('..', 'apps', 'api', 'src', 'main.js');
  const without = await start('api-without-limits.js');
  const { rows } = await owner.query('SELECT pg_backend_pid() AS pid');
  const postmaster = postmasterOf(rows[0].pid);
  if (postmaster === undefined) throw new Error('PostgreSQL must run on this machine: its CPU is read from /proc');
  const [merchant, poor] = (await openBook(within.port, OPERATOR_KEY, 2, ACCOUNTS)) as [BenchMerchant, BenchMerchant];
  const url = `http://127.0.0.1:${within.port}`;
  await callApi({ url, key: OPERATOR_KEY, method: 'PUT', path: `/v1/merchants/${poor.id}/limits`, body: NOTHING_LEFT });

  const read = (of: BenchMerchant) => () => balanceRequest(of, Math.floor(Math.random() * ACCOUNTS));
  const load = (what: string, api: Api, next: () => string, status: number): Load => {
    return { what, api, next, status, apiUs: [], postgresUs: [] };
  };
  const loads = [
    load('posting', within, postings(merchant), 201),
    load('posting, without limits', without, postings(merchant), 201),
    load('cached read', within, read(merchant), 200),
    load('cached read, without limits', without, read(merchant), 200),
    load('refusal', within, read(poor), 429),
  ];
  for (const one of loads) await run(one, windowMs / 2);
  for (let round = 0; round < rounds; round += 1) {
    for (const one of round % 2 === 0 ? loads : loads.toReversed()) await measure(one, postmaster);
  }
  print(loads);
  const settings = readConfig({ DATABASE_URL: scratch.url, REDIS_URL: process.env.REDIS_URL });
  const us = await admissionUs(scratch.runtimeUrl, settings, BigInt(merchant.id));
  console.log(`a request is admitted, settled and told its limits in ${us.toFixed(2)} µs`);
} finally {
  for (const step of cleanup.reverse()) await step();
}

function postings(merchant: BenchMerchant): () => string {
  const rest = { port: 0, callers: 0, warmUpMs: 0, measureMs: 0, spread: 'uniform', batch: 1, lateMs: 0 } as const;
  const source = new RequestSource([merchant], rest, randomBytes(6).toString('hex'));
  return () => source.next();
}

async function measure(load: Load, postmaster: number): Promise<void> {
  const now = () => ({ api: cpuOfMs(load.api.pid) ?? Number.NaN, postgres: cpuOfServerMs(postmaster) ?? Number.NaN });
  const before = now();
  const requests = await run(load, windowMs);
  const after = now();
  load.apiUs.push(((after.api - before.api) * 1_000) / requests);
  load.postgresUs.push(((after.postgres - before.postgres) * 1_000) / requests);
}

async function run({ api, what, next, status: wanted }: Load, ms: number): Promise<number> {
  const connections = await Promise.all(Array.from({ length: CALLERS }, () => HttpConnection.open(api.port)));
  const end = performance.now() + ms;
  let requests = 0;
  const call = async (connection: HttpConnection): Promise<void> => {
    do {
      const { status, body } = await connection.exchange(next());
      // Once a second there is a unit.
      if (status !== wanted && wanted !== 429) throw new Error(`${what} was answered ${status} ${body}`);
      requests += 1;
    } while (performance.now() < end);
    connection.close();
  };
  await Promise.all(connections.map(call));
  return requests;
}

function print(loads: readonly Load[]): void {
  const mean = (all: readonly number[]): number => all.reduce((sum, one) => sum + one, 0) / all.length;
  const rows = loads.map(({ what, apiUs, postgresUs }) => [
    what,
    ...[apiUs, postgresUs].map((all) => mean(all).toFixed(1)),
  ]);
  console.log(`${textTable(['request', 'API, µs of CPU', 'PostgreSQL, µs'], rows)}\n`);
  const [posting, freePosting, read, freeRead, refusal] = loads as [Load, Load, Load, Load, Load];
  // Window by window: what the machine does meanwhile is done to both.
  const ratio = (one: readonly number[], other: readonly number[]): string =>
    `${(mean(one) / mean(other)).toFixed(3)} (median of windows ${median(one.map((us, n) => us / (other[n] as number))).toFixed(3)})`;
  const all = ({ apiUs, postgresUs }: Load): number[] => apiUs.map((us, n) => us + (postgresUs[n] as number));
  console.log(
    `posting with limits ÷ without: API ${ratio(posting.apiUs, freePosting.apiUs)}, with PostgreSQL ${ratio(all(posting), all(freePosting))}`,
  );
  console.log(`cached read with limits ÷ without: API ${ratio(read.apiUs, freeRead.apiUs)}`);
  console.log(`refusal ÷ cached read: API ${ratio(refusal.apiUs, read.apiUs)}`);
}
