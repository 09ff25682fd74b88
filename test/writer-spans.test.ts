import type { InMemorySpanExporter, ReadableSpan } from '@opentelemetry/sdk-trace';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import type { Telemetry } from '#platform/telemetry.js';
import { endSpan } from '#platform/tracing.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { keepSpans } from './support/kept-spans.js';
import { TestLedger, transfer } from './support/ledger.js';
import { COMMIT, cut, TcpProxy } from './support/tcp-proxy.js';

const ERROR = 2;
let exporter: InMemorySpanExporter;
let telemetry: Telemetry;
let on: TestDatabase;
let bystander: Bystander;
let proxy: TcpProxy;
let ledger: TestLedger;
let merchant: bigint;
let accounts: [bigint, bigint];
let empty: bigint;

beforeAll(async () => {
  ({ exporter, telemetry } = keepSpans());
  on = await freshDatabase();
  bystander = await Bystander.open(on);
  proxy = await TcpProxy.open(on.runtimeUrl);
  ledger = await TestLedger.open(on, { databaseUrl: proxy.url, lanes: 1 });
  merchant = await ledger.createMerchant();
  accounts = [await ledger.createAccount(merchant, { code: 'a' }), await ledger.createAccount(merchant, { code: 'b' })];
  empty = await ledger.createAccount(merchant, { code: 'empty', minAvailable: 0n });
  // Its connection stands from here on.
  await traced();
});
afterAll(async () => {
  await Promise.all([proxy.close(), ledger.close(), bystander.close()]);
  await on.drop();
  await telemetry.shutdown();
});
beforeEach(() => exporter.reset());

/** Posts, so many at once, in a trace of its own; answers its spans in the order of their starts. */
async function traced(request = transfer(...accounts, 1n), { key = true, times = 1 } = {}): Promise<ReadableSpan[]> {
  const span = telemetry.startRequest(
    { method: 'POST', route: '/test', path: () => '/test', startedMs: performance.now() },
    undefined,
  );
  const { commands, accounts: touched } = await ledger.directory.resolve({ ...ledger.context(merchant), span }, [
    request,
  ]);
  const context = { merchantId: merchant, deadline: Deadline.after(60_000), span, cost: new Cost() };
  const post = () => {
    const idempotency = key ? { key: crypto.randomUUID(), requestSha256: Buffer.alloc(32) } : undefined;
    return ledger.writer.post(context, { mode: 'single', commands, accounts: touched, idempotency });
  };
  await Promise.allSettled(Array.from({ length: times }, post)).finally(() => endSpan(span));
  const { traceId } = span.spanContext();
  const spans = exporter.getFinishedSpans().filter((finished) => finished.spanContext().traceId === traceId);
  return spans.sort((a, b) => startOf(a) - startOf(b));
}

const startOf = ({ startTime: [s, ns] }: ReadableSpan): number => s * 1_000 + ns / 1e6;
const endOf = ({ endTime: [s, ns] }: ReadableSpan): number => s * 1_000 + ns / 1e6;
const told = (spans: readonly ReadableSpan[]) =>
  spans.map(({ name, status }) => (status.code === ERROR ? `${name} !` : name));

test('a posting that goes well: its wait, its group and both steps', async () => {
  expect(told(await traced())).toEqual([
    'POST /test',
    'wait in lane',
    'commit group',
    'lock balances',
    'write and commit',
  ]);
});

test('a try that fails ends its spans with the error, and the next one has spans of its own, after it', async () => {
  proxy.onNext(COMMIT, cut);
  const spans = await traced();
  expect(told(spans)).toEqual([
    'POST /test',
    'wait in lane',
    'commit group !',
    'lock balances',
    'write and commit !',
    'settle',
    'commit group',
    'lock balances',
    'write and commit',
  ]);
  const groups = spans.filter(({ name }) => name === 'commit group');
  expect(groups.map(({ attributes }) => attributes['counterfoil.group.attempt'])).toEqual([1, 2]);
  expect(startOf(groups[1] as ReadableSpan)).toBeGreaterThanOrEqual(endOf(groups[0] as ReadableSpan));
});

test('requests that one command makes come to one group in it, which links to nothing of its own trace', async () => {
  const spans = await traced(undefined, { times: 5 });
  const groups = spans.filter(({ name }) => name === 'commit group');
  const requests = groups.map(({ attributes }) => Number(attributes['counterfoil.group.requests']));
  expect(requests.reduce((sum, count) => sum + count)).toBe(5);
  expect(Math.max(...requests)).toBeGreaterThan(1);
  expect(groups.flatMap(({ links }) => links)).toEqual([]);
  expect(spans.filter(({ name }) => name === 'wait in lane')).toHaveLength(groups.length);
});

test('a step before COMMIT that fails has its span, too', async () => {
  proxy.onNext('lock-balances', cut);
  const spans = await traced();
  expect(told(spans).slice(2)).toEqual([
    'commit group !',
    'lock balances !',
    'commit group',
    'connect',
    'lock balances',
    'write and commit',
  ]);
  expect(spans.find(({ status }) => status.code === ERROR)?.events.map(({ name }) => name)).toEqual(['exception']);
});

test('what is refused and has no key is rolled back', async () => {
  const spans = await traced(transfer(empty, accounts[0], 1n), { key: false });
  expect(told(spans)).toEqual(['POST /test', 'wait in lane', 'commit group', 'lock balances', 'roll back']);
});

test('what PostgreSQL rejects shows where', async () => {
  const spans = await traced(transfer(...accounts, 1n, { description: 'NUL \u0000 byte' }));
  expect(told(spans)).toEqual(['POST /test', 'wait in lane', 'commit group !', 'lock balances', 'write and commit !']);
});
