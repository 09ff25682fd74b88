import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { scratchDatabase } from '#db/bench/scratch-database.js';
import { textTable } from '#db/bench/text-table.js';
import { openBook } from './book.js';
import { chosen } from './chosen.js';
import { HttpConnection } from './http-connection.js';
import { OPERATOR_KEY } from './night-service.js';
import { type Priced, type PricedBook, pricedRequests } from './priced-requests.js';
import { type Cpu, PROCESSES, PricedService } from './priced-service.js';
import { type BenchMerchant, RequestSource } from './requests.js';

/** `npm run bench:prices`: units charged beside the CPU of all processes. See docs/figures/limits.md. */

const { values } = parseArgs({
  options: {
    smoke: { type: 'boolean', default: false },
    seconds: { type: 'string' },
    only: { type: 'string' },
  },
});
const measureMs = Number(values.seconds ?? (values.smoke ? 0.2 : 3)) * 1_000;
const warmUpMs = measureMs / 5;
const IDLE_MS = values.smoke ? 200 : 3_000;
const ACCOUNTS = 100;
const BATCHES = values.smoke ? 2 : 20;
const FUNDS = '1000000000000';
const UNIT_MS = 0.1;
const MOST_UNITS = 100_000_000;

const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; run npm run bench:prices');

/** A request's, on the average, and that of all that it causes. */
interface Cost {
  of: Priced;
  cpu: Cpu;
  units: number;
}

const scratch = await scratchDatabase(serverUrl, 'prices');
const sink = createServer(
  (request, response) => void request.resume().once('end', () => response.writeHead(204).end()),
);
await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
try {
  const priced = await PricedService.start(scratch);
  try {
    const all = pricedRequests(await prepare(priced));
    const prices = chosen(values.only, [...new Set(all.map(({ price }) => price))]);
    const wanted = all.filter(({ price }) => prices.includes(price));
    const idle = await idleCpu(priced);
    const costs: Cost[] = [];
    for (const of of wanted) {
      const cost = await measure(of, priced, idle);
      costs.push(cost);
      console.error(`# ${of.what}: ${cpuOf(cost).toFixed(3)} ms, ${cost.units.toFixed(1)} units`);
    }
    print(costs);
  } finally {
    await priced.stop();
  }
} finally {
  sink.close();
  sink.closeAllConnections();
  await scratch.drop();
}

/** A history to read, funds to pay out, and plans that nothing is refused by. */
async function prepare({ service, owner, port }: PricedService): Promise<PricedBook> {
  const [merchant, hooked] = (await openBook(port, OPERATOR_KEY, 2, ACCOUNTS)) as [BenchMerchant, BenchMerchant];
  const plan = { units_per_second: MOST_UNITS, burst_units: MOST_UNITS, units_in_flight: MOST_UNITS };
  for (const { id } of [merchant, hooked]) await service.clientOf()('PUT', `/v1/merchants/${id}/limits`, plan);
  const load = { port, callers: 1, warmUpMs: 0, measureMs: 0, spread: 'uniform', batch: 1_000, lateMs: 0 } as const;
  const source = new RequestSource([merchant], load, randomBytes(6).toString('hex'));
  const connection = await HttpConnection.open(port);
  for (let n = 0; n < BATCHES; n += 1) await connection.exchange(source.next());
  connection.close();
  const call = service.clientOf(merchant.apiKey);
  const entry = { amount: FUNDS, currency: 'EUR' };
  const entries = [
    { ...entry, account_code: 'cash:EUR', direction: 'debit' },
    { ...entry, account_code: 'merchant_payable:EUR', direction: 'credit' },
  ];
  await call('POST', '/v1/transactions', { type: 'funding', entries }, 'funds');
  await owner.query('INSERT INTO settled_balances (merchant_id, currency, settled) VALUES ($1, $2, $3)', [
    merchant.id,
    'EUR',
    FUNDS,
  ]);
  const url = `http://127.0.0.1:${(sink.address() as AddressInfo).port}/`;
  await service.clientOf(hooked.apiKey)('POST', '/v1/webhook_endpoints', { url }, 'endpoint');
  const page = await call('GET', '/v1/transactions?limit=1000');
  const transactionIds = page.data.map(({ id }: { id: string }) => id);
  return { merchant, hooked, transactionIds };
}

/** What all of it costs a millisecond while nobody asks for anything. */
async function idleCpu(priced: PricedService): Promise<Cpu> {
  await priced.drained();
  const before = priced.cpu();
  await sleep(IDLE_MS);
  const after = priced.cpu();
  return ofEach((name) => (after[name] - before[name]) / IDLE_MS);
}

function ofEach(value: (name: keyof Cpu) => number): Cpu {
  return Object.fromEntries(PROCESSES.map((name) => [name, value(name)])) as Cpu;
}

/** From the first request until what they have caused is done as well. */
async function measure(of: Priced, priced: PricedService, idle: Cpu): Promise<Cost> {
  const open = () => HttpConnection.open(priced.port);
  const connections = await Promise.all(Array.from({ length: of.callers }, open));
  const callFor = async (ms: number) => {
    const end = performance.now() + ms;
    const counts = await Promise.all(connections.map((connection) => call(connection, of, end)));
    await priced.drained();
    return sum(counts);
  };
  await callFor(warmUpMs);
  const [charged, cpu, startedAt] = [await priced.charges(), priced.cpu(), performance.now()];
  const requests = await callFor(measureMs);
  const [chargedAfter, cpuAfter, elapsedMs] = [await priced.charges(), priced.cpu(), performance.now() - startedAt];
  for (const connection of connections) connection.close();
  if (chargedAfter.refused > 0) throw new Error(`${of.what} was refused`);
  const each = ofEach((name) => Math.max(0, cpuAfter[name] - cpu[name] - idle[name] * elapsedMs) / requests);
  return { of, cpu: each, units: (chargedAfter.units - charged.units) / requests };
}

async function call(connection: HttpConnection, { what, next, answered }: Priced, end: number): Promise<number> {
  let count = 0;
  do {
    const { status, body } = await connection.exchange(next());
    if (answered === undefined ? status >= 400 : status !== answered)
      throw new Error(`${what} was answered ${status} ${body}`);
    count += 1;
  } while (performance.now() < end);
  return count;
}

function cpuOf({ cpu }: Cost): number {
  return sum(Object.values(cpu));
}

function print(costs: readonly Cost[]): void {
  const ratio = (cost: Cost): number => cost.units / (cpuOf(cost) / UNIT_MS);
  const rows = costs.map((cost) => [
    cost.of.price,
    cost.of.what,
    ...PROCESSES.map((name) => cost.cpu[name].toFixed(3)),
    cost.units.toFixed(1),
    ratio(cost).toFixed(2),
  ]);
  const names = PROCESSES.map(
    (name) => `${{ api: 'API', worker: 'worker', postgres: 'PostgreSQL', redis: 'Redis' }[name]} ms`,
  );
  console.log(textTable(['price', 'request', ...names, 'units', 'units ÷ 0.1 ms'], rows, 2));
  const prices = Map.groupBy(costs, ({ of }) => of.price);
  console.log(
    `\nunits ÷ 0.1 ms, by price: ${[...prices].map(([price, some]) => `${price} ${geometric(some.map(ratio)).toFixed(2)}`).join(', ')}`,
  );
  const [units, ms] = [costs.map((cost) => cost.units), costs.map(cpuOf)];
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
