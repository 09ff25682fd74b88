import { randomUUID } from 'node:crypto';
import { SpanKind } from '@opentelemetry/api';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Telemetry } from '#platform/telemetry.js';
import { type Api, startApi } from '../apps/api/src/api.js';
import { readConfig } from '../apps/config.js';
import { OPERATOR_KEY, transfer } from './support/api.js';
import { type Answer, type CallOptions, callAt } from './support/bare-api.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import type { ReceivedSpan } from './support/otlp.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { SpanReceiver } from './support/span-receiver.js';
import { treeOf } from './support/trace-trees.js';
import { until } from './support/until.js';

/** What the API's side of a request shows, as a collector gets it. */

const SLOW_MS = 300;
const DESCRIPTION = 'what-only-the-merchant-knows';
const AMOUNT = '7654321';

let on: TestDatabase;
let redis: PrivateRedis;
let receiver: SpanReceiver;
let api: Api;
let key: string;
let wallet: string;

beforeAll(async () => {
  [on, redis, receiver] = await Promise.all([freshDatabase(), privateRedis(), SpanReceiver.open()]);
  const config = readConfig({
    PORT: '0',
    LOG_LEVEL: 'silent',
    REDIS_URL: redis.url,
    BALANCE_REDIS_TIMEOUT_MS: '1000',
    DATABASE_URL: on.ownerUrl,
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
  });
  const options = { otlpEndpoint: receiver.url, sampleRatio: 0, slowMs: SLOW_MS, serviceName: 'test' };
  api = await startApi(config, { telemetry: Telemetry.start(options) });
  const body = { name: 'T', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  const merchant = await callAt(api.url, 'POST', '/v1/merchants', { key: OPERATOR_KEY, body });
  key = merchant.body.api_key.secret;
  const account = { code: 'wallet:1', name: 'Wallet', currency: 'EUR', normal_side: 'credit', min_available: '0' };
  wallet = (await ask('POST', '/v1/accounts', { body: account })).body.id;
  // The key, the accounts' names and the connections are known from here on.
  await Promise.all([1, 2, 3].map(() => post(transfer('cash:EUR', 'wallet:1', '1'))));
  await ask('GET', `/v1/accounts/${wallet}`);
});
afterAll(async () => {
  await api.stop();
  await Promise.all([redis.stop(), receiver.close()]);
  await on.drop();
});
beforeEach(() => {
  receiver.received.length = 0;
});

const sampled = () => ({ traceparent: `00-${randomUUID().replaceAll('-', '')}-${'b'.repeat(16)}-01` });
const ask = (method: string, path: string, options: CallOptions = {}) =>
  callAt(api.url, method, path, { key, ...options });
const post = (body: object, headers: Record<string, string> = {}) =>
  ask('POST', '/v1/transactions', { body, headers: { 'idempotency-key': randomUUID(), ...headers } });
const traceIdOf = ({ headers }: Answer): string => headers.get('traceresponse')?.split('-')[1] as string;

/** The trace of an answer, once the request's own span has arrived: it ends last. */
async function traceOf(answer: Answer): Promise<{ tree: string[]; spans: ReceivedSpan[] }> {
  const traceId = traceIdOf(answer);
  const isWhole = () => receiver.traceOf(traceId).some(({ kind }) => kind === SpanKind.SERVER);
  await until('the trace has arrived', isWhole);
  const { spans } = receiver;
  const showing = ({ attributes }: ReceivedSpan) => {
    const result = attributes['counterfoil.cache.result'];
    return result === undefined ? '' : ` (${result})`;
  };
  // Keys are asked for again every few seconds.
  const without = ({ name }: ReceivedSpan) => name === 'authenticate';
  // The caller's own span is not sent to us.
  return { tree: treeOf(spans, traceId, { showing, without }).slice(1), spans: receiver.traceOf(traceId) };
}

/** The first of these whose trace is as wished: what is near another one's may be joined with it, and shows less. */
async function traceWhere(
  what: string,
  send: () => Promise<Answer>,
  isWished: (spans: ReceivedSpan[]) => boolean,
): Promise<{ answer: Answer; tree: string[]; spans: ReceivedSpan[] }> {
  return until(what, async () => {
    const answer = await send();
    const trace = await traceOf(answer);
    return isWished(trace.spans) && { answer, ...trace };
  });
}

/** Hints within ten milliseconds of one another are one, and it shows in the first one's trace. */
const isTelling = (spans: ReceivedSpan[]) => spans.some(({ name }) => name === 'tell relay');

test('a posting: its wait, its group, both trips, and the cache', async () => {
  const send = () => post(transfer('cash:EUR', 'wallet:1', AMOUNT), sampled());
  const { tree, spans } = await traceWhere('a posting tells the relay', send, isTelling);
  expect(tree).toEqual([
    '  POST /v1/transactions',
    '    command PostTransaction',
    '      wait in lane',
    '      commit group',
    '        fence balances',
    '        lock balances',
    '        write and commit',
    '        tell relay',
    '        publish balances',
  ]);
  const merchants = new Set(spans.map(({ attributes }) => attributes['counterfoil.merchant_id']));
  expect([...merchants]).toEqual([expect.stringMatching(/^\d+$/)]);
  const systems = spans.map(({ attributes }) => [attributes['db.query.summary'], attributes['db.system.name']]);
  expect(systems.filter(([summary]) => summary !== undefined)).toEqual([
    ['fence balances', 'redis'],
    ['lock balances', 'postgresql'],
    ['write and commit', 'postgresql'],
    ['tell relay', 'redis'],
    ['publish balances', 'redis'],
  ]);
});

test('one that was sampled shows the work of its group, whoever else is in it', async () => {
  const groupOf = (spans: ReceivedSpan[]) => spans.find(({ name }) => name === 'commit group');
  const sendWithOthers = async () => {
    const others = Array.from({ length: 7 }, () => post(transfer('cash:EUR', 'wallet:1', '1')));
    const sampledOne = await post(transfer('cash:EUR', 'wallet:1', '1'), sampled());
    await Promise.all(others);
    return sampledOne;
  };
  const { spans } = await traceWhere('a group of several', sendWithOthers, (found) => {
    return Number(groupOf(found)?.attributes['counterfoil.group.requests']) > 1;
  });
  const group = groupOf(spans);
  expect(spans.filter(({ parentId }) => parentId === group?.spanId).map(({ name }) => name)).toContain(
    'write and commit',
  );
});

test('a refusal is written, publishes nothing, and is no error', async () => {
  const send = () => post(transfer('wallet:1', 'cash:EUR', '999999999'), sampled());
  const { answer, tree, spans } = await traceWhere('a refusal tells the relay', send, isTelling);
  expect(answer.body.code).toBe('insufficient_funds');
  expect(tree).toEqual([
    '  POST /v1/transactions',
    '    command PostTransaction',
    '      wait in lane',
    '      commit group',
    '        fence balances',
    '        lock balances',
    '        write and commit',
    '        tell relay',
    '        unfence balances',
    '        invalidate balances',
  ]);
  const command = spans.find(({ name }) => name === 'command PostTransaction');
  expect(command?.attributes['counterfoil.outcome']).toBe('insufficient_funds');
});

test('a balance: filled by the first who asks, a hit for the next', async () => {
  const path = `/v1/accounts/${wallet}/balance`;
  const client = new Redis(redis.url);
  await client.flushall();
  await client.quit();
  const filling = await traceOf(await ask('GET', path, { headers: sampled() }));
  expect(filling.tree).toEqual([
    '  GET /v1/accounts/:id/balance',
    '    query GetBalance',
    '      read balances (granted)',
    '      load balance',
    '        read balances',
    '      fill balances',
  ]);
  const hit = await traceOf(await ask('GET', path, { headers: sampled() }));
  expect(hit.tree).toEqual(['  GET /v1/accounts/:id/balance', '    query GetBalance', '      read balances (hit)']);
});

test('a list: the statement by its name, with how many rows it found', async () => {
  const { tree, spans } = await traceOf(await ask('GET', '/v1/transactions?limit=2', { headers: sampled() }));
  expect(tree.slice(0, 2)).toEqual(['  GET /v1/transactions', '    query ListTransactions']);
  const [statement] = spans.filter(({ attributes }) => attributes['db.system.name'] === 'postgresql');
  expect(statement?.name).toBe(statement?.attributes['db.query.summary']);
  expect(Number(statement?.attributes['db.response.returned_rows'])).toBeGreaterThanOrEqual(2);
});

test('what nobody sampled is kept whole where it was slow, and tells what it waited for', async () => {
  const fast = await until('a fast one', async () => {
    const from = performance.now();
    const answer = await post(transfer('cash:EUR', 'wallet:1', '1'));
    return performance.now() - from < SLOW_MS && answer;
  });
  const client = new Redis(redis.url);
  await client.call('CLIENT', 'PAUSE', String(SLOW_MS * 2), 'ALL');
  const slow = await post(transfer('cash:EUR', 'wallet:1', '2'));
  expect(slow.status).toBe(201);
  const { spans } = await traceOf(slow);
  const [longest] = spans
    .filter(({ attributes }) => attributes['db.system.name'] !== undefined)
    .sort((a, b) => b.endMs - b.startMs - (a.endMs - a.startMs));
  expect(longest?.name).toBe('fence balances');
  expect(spans.map(({ name }) => name)).toContain('wait in lane');
  expect(receiver.traceOf(traceIdOf(fast))).toEqual([]);
  await client.quit();
});

test('what nobody sampled is kept whole where something failed, and tells what by its class', async () => {
  redis.signal('SIGSTOP');
  const answer = await post(transfer('cash:EUR', 'wallet:1', '3', { description: DESCRIPTION }));
  redis.signal('SIGCONT');
  expect(answer.status).toBe(201);
  const { spans } = await traceOf(answer);
  const failed = spans.filter((span) => span.failed);
  expect(failed.map(({ name }) => name)).toContain('fence balances');
  expect(failed[0]?.attributes['error.type']).toBe('CacheUnavailable');
});

test('nothing of a request’s contents, its amount or its keys is sent to the collector', async () => {
  const body = transfer('cash:EUR', 'wallet:1', AMOUNT, {
    description: DESCRIPTION,
    external_ref: `ref-${DESCRIPTION}`,
    metadata: { [DESCRIPTION]: DESCRIPTION },
  });
  const idempotency = { 'idempotency-key': `key-${DESCRIPTION}` };
  const answers = [
    await post(body, { ...sampled(), ...idempotency }),
    await post(body, { ...sampled(), ...idempotency }),
    await post({ ...body, description: `${DESCRIPTION} \ud800` }, sampled()),
    await ask('GET', `/v1/transactions?external_ref=ref-${DESCRIPTION}`, { headers: sampled() }),
  ];
  for (const answer of answers) await traceOf(answer);
  for (const content of [DESCRIPTION, AMOUNT, key, OPERATOR_KEY]) expect(receiver.text).not.toContain(content);
});
