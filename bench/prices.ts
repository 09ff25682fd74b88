import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { textTable } from '#db/bench/text-table.js';
import { callApi } from '../scripts/call-api.mjs';
import { freePort } from '../scripts/ports.mjs';
import { startApi } from './api-process.js';
import { openBook } from './book.js';
import { cpuOfMs, cpuOfServerMs, postmasterOf } from './cpu.js';
import { HttpConnection } from './http-connection.js';
import { type Priced, pricedRequests } from './priced-requests.js';
import { type BenchMerchant, RequestSource } from './requests.js';

/** `npm run bench:prices`: units charged beside the CPU of API and PostgreSQL. See docs/figures/limits.md. */

const { values } = parseArgs({ options: { smoke: { type: 'boolean', default: false }, seconds: { type: 'string' } } });
const measureMs = Number(values.seconds ?? (values.smoke ? 0.15 : 3)) * 1_000;
const warmUpMs = measureMs / 5;
const ACCOUNTS = 100;
const BATCHES = values.smoke ? 2 : 20;
const UNIT_MS = 0.1;
const MOST_UNITS = 100_000_000;

const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:prices');

/** A request's, on the average. */
interface Cost {
  of: Priced;
  apiMs: number;
  postgresMs: number;
  units: number;
}

const scratch = await scratchDatabase(serverUrl, 'prices');
const owner = new pg.Client({ connectionString: scratch.url });
const chargesPort = await freePort();
const operatorKey = `cfo_${randomBytes(24).toString('hex')}`;
try {
  await owner.connect();
  const api = await startApi(join(import.meta.dirname, 'api-with-charges.js'), {
    DATABASE_URL: scratch.url,
    DATABASE_RUNTIME_URL: scratch.runtimeUrl,
    COUNTERFOIL_OPERATOR_KEY: operatorKey,
    CHARGES_PORT: String(chargesPort),
  });
  try {
    const { rows } = await owner.query('SELECT pg_backend_pid() AS pid');
    const postmaster = postmasterOf(rows[0].pid);
    if (postmaster === undefined) throw new Error('PostgreSQL must run on this machine: its CPU is read from /proc');
    const [merchant] = (await openBook(api.port, operatorKey, 1, ACCOUNTS)) as [BenchMerchant];
    const transactionIds = await prepare(api.port, merchant);
    const costs: Cost[] = [];
    for (const of of pricedRequests(merchant, transactionIds)) {
      costs.push(await measure(of, { port: api.port, pid: api.pid, postmaster }));
      console.error(`# ${of.what}`);
    }
    print(costs);
  } finally {
    await api.stop();
  }
} finally {
  await owner.end();
  await scratch.drop();
}

/** A history to read, and a plan that nothing is refused by. */
async function prepare(port: number, merchant: BenchMerchant): Promise<string[]> {
  const url = `http://127.0.0.1:${port}`;
  const plan = { units_per_second: MOST_UNITS, burst_units: MOST_UNITS, units_in_flight: MOST_UNITS };
  await callApi({ url, key: operatorKey, method: 'PUT', path: `/v1/merchants/${merchant.id}/limits`, body: plan });
  const load = { port, callers: 1, warmUpMs: 0, measureMs: 0, spread: 'uniform', batch: 1_000, lateMs: 0 } as const;
  const source = new RequestSource([merchant], load, randomBytes(6).toString('hex'));
  const connection = await HttpConnection.open(port);
  for (let n = 0; n < BATCHES; n += 1) await connection.exchange(source.next());
  connection.close();
  const page = await callApi({ url, key: merchant.apiKey, method: 'GET', path: '/v1/transactions?limit=1000' });
  return page.data.map(({ id }: { id: string }) => id);
}

async function measure(
  of: Priced,
  { port, pid, postmaster }: { port: number; pid: number; postmaster: number },
): Promise<Cost> {
  const connections = await Promise.all(Array.from({ length: of.callers }, () => HttpConnection.open(port)));
  const callFor = (ms: number) => {
    const end = performance.now() + ms;
    return Promise.all(connections.map((connection) => call(connection, of, end)));
  };
  const now = async () => ({
    ...((await (await fetch(`http://127.0.0.1:${chargesPort}`)).json()) as {
      requests: number;
      units: number;
      refused: number;
    }),
    api: cpuOfMs(pid) ?? Number.NaN,
    postgres: cpuOfServerMs(postmaster) ?? Number.NaN,
  });
  await callFor(warmUpMs);
  const before = await now();
  await callFor(measureMs);
  const after = await now();
  for (const connection of connections) connection.close();
  if (after.refused > 0) throw new Error(`${of.what} was refused`);
  const each = (key: 'api' | 'postgres' | 'units') => (after[key] - before[key]) / (after.requests - before.requests);
  return { of, apiMs: each('api'), postgresMs: each('postgres'), units: each('units') };
}

async function call(connection: HttpConnection, { what, next }: Priced, end: number): Promise<void> {
  do {
    const { status, body } = await connection.exchange(next());
    if (status >= 400) throw new Error(`${what} was answered ${status} ${body}`);
  } while (performance.now() < end);
}

function print(costs: readonly Cost[]): void {
  const cpu = ({ apiMs, postgresMs }: Cost): number => apiMs + postgresMs;
  const ratio = (some: readonly Cost[]): number => sum(some.map(({ units }) => units)) / (sum(some.map(cpu)) / UNIT_MS);
  const rows = costs.map((cost) => [
    cost.of.price,
    cost.of.what,
    ...[cost.apiMs, cost.postgresMs].map((ms) => ms.toFixed(3)),
    cost.units.toFixed(1),
    ratio([cost]).toFixed(2),
  ]);
  console.log(textTable(['price', 'request', 'API ms', 'PostgreSQL ms', 'units', 'units ÷ 0.1 ms'], rows, 2));
  const prices = Map.groupBy(costs, ({ of }) => of.price);
  console.log(
    `\nunits ÷ 0.1 ms, by price: ${[...prices].map(([price, some]) => `${price} ${geometric(some.map((one) => ratio([one]))).toFixed(2)}`).join(', ')}`,
  );
  const [units, ms] = [costs.map((cost) => cost.units), costs.map(cpu)];
  const logs = [units, ms].map((all) => all.map(Math.log)) as [number[], number[]];
  console.log(
    `correlation of units and CPU over ${costs.length} routes and sizes: ${pearson(units, ms).toFixed(3)}; of their logarithms ${pearson(...logs).toFixed(3)}`,
  );
}

function sum(all: readonly number[]): number {
  return all.reduce((total, one) => total + one, 0);
}

function geometric(all: readonly number[]): number {
  return Math.exp(sum(all.map(Math.log)) / all.length);
}

function pearson(x: readonly number[], y: readonly number[]): number {
  const [meanX, meanY] = [sum(x) / x.length, sum(y) / y.length];
  const of = (a: readonly number[], meanA: number, b: readonly number[], meanB: number): number =>
    sum(a.map((one, index) => (one - meanA) * ((b[index] as number) - meanB)));
  return of(x, meanX, y, meanY) / Math.sqrt(of(x, meanX, x, meanX) * of(y, meanY, y, meanY));
}
