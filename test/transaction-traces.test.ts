import { randomUUID } from 'node:crypto';
import type { InMemorySpanExporter } from '@opentelemetry/sdk-trace';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type Api, startApi } from '../apps/api/src/api.js';
import { readConfig } from '../apps/config.js';
import { freePort } from '../scripts/ports.mjs';
import { OPERATOR_KEY, transfer } from './support/api.js';
import { callAt } from './support/bare-api.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { keepSpans } from './support/kept-spans.js';
import { until } from './support/until.js';

let exporter: InMemorySpanExporter;
let on: TestDatabase;
let api: Api;
let key: string;

beforeAll(async () => {
  on = await freshDatabase();
  const kept = keepSpans();
  exporter = kept.exporter;
  const config = readConfig({
    PORT: '0',
    LOG_LEVEL: 'error',
    REDIS_URL: inject('redisUrl'),
    DATABASE_URL: on.ownerUrl,
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
    METRICS_PORT: String(await freePort()),
  });
  api = await startApi(config, { telemetry: kept.telemetry });
  const body = { name: 'T', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  const merchant = await callAt(api.url, 'POST', '/v1/merchants', { key: OPERATOR_KEY, body });
  key = merchant.body.api_key.secret;
});
afterAll(async () => {
  await api.stop();
  await on.drop();
});

/** Names of the spans that one search for the transaction finds, and their traces. */
function found(id: string): { names: string[]; traces: Set<string> } {
  const spans = exporter
    .getFinishedSpans()
    .filter(({ attributes }) => (attributes['counterfoil.transaction_id'] as string[] | undefined)?.includes(id));
  return {
    names: spans.map(({ name }) => name).sort(),
    traces: new Set(spans.map((span) => span.spanContext().traceId)),
  };
}

test('the trace of a transaction is found by its id, and is the one that the answer names', async () => {
  const body = transfer('cash:EUR', 'suspense:EUR', '5');
  const posted = await callAt(api.url, 'POST', '/v1/transactions', {
    key,
    body,
    headers: { 'idempotency-key': randomUUID() },
  });
  expect(posted.status).toBe(201);
  const { names, traces } = found(posted.body.id);
  expect(names).toEqual(['POST /v1/transactions', 'command PostTransaction']);
  expect([...traces]).toEqual([posted.headers.get('traceresponse')?.split('-')[1]]);

  const reversed = await callAt(api.url, 'POST', `/v1/transactions/${posted.body.id}/reverse`, {
    key,
    headers: { 'idempotency-key': randomUUID() },
  });
  expect(found(reversed.body.id).names).toEqual(['POST /v1/transactions/:id/reverse', 'command ChangeTransaction']);
  await callAt(api.url, 'GET', `/v1/transactions/${posted.body.id}`, { key });
  expect(found(posted.body.id).names).toContain('GET /v1/transactions/:id');
});

test('a posting’s trace is the exemplar of its request, its wait and its group’s steps', async () => {
  const body = transfer('cash:EUR', 'suspense:EUR', '5');
  const headers = { 'idempotency-key': randomUUID() };
  const posted = await callAt(api.url, 'POST', '/v1/transactions', { key, body, headers });
  const traceId = posted.headers.get('traceresponse')?.split('-')[1];
  const accept = 'application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4';
  const found = await until('the request has ended', async () => {
    const answer = await fetch(String(api.metricsUrl), { headers: { accept } });
    const text = await answer.text();
    expect([answer.headers.get('content-type'), text.slice(-7)]).toEqual([
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
      '\n# EOF\n',
    ]);
    const lines = text.split('\n').filter((line) => line.includes(`# {trace_id="${traceId}"}`));
    return lines.length > 3 && lines.map((line) => line.replace(/,?le="[^"]*"|_bucket|\} .*/g, ''));
  });
  expect([...found].sort()).toEqual([
    'counterfoil_http_request_seconds{method="POST",route="/v1/transactions",status="2xx"',
    'counterfoil_writer_step_seconds{step="lock balances"',
    'counterfoil_writer_step_seconds{step="write and commit"',
    'counterfoil_writer_wait_seconds{lane="shared"',
  ]);
});

test('a refusal names no transaction, nor does its replay', async () => {
  const body = transfer('cash:EUR', 'suspense:EUR', '5', { status: 'pending' });
  const ask = (path: string, body?: object, name: string = randomUUID()) =>
    callAt(api.url, 'POST', path, { key, headers: { 'idempotency-key': name }, ...(body && { body }) });
  const hold = await ask('/v1/transactions', body);
  await ask(`/v1/transactions/${hold.body.id}/void`);
  exporter.reset();
  for (const again of [false, true]) {
    const { status, headers } = await ask(`/v1/transactions/${hold.body.id}/void`, undefined, 'void-again');
    expect([status, headers.has('idempotent-replayed')]).toEqual([409, again]);
  }
  const commands = exporter.getFinishedSpans().filter(({ name }) => name === 'command ChangeTransaction');
  expect(commands.map(({ attributes }) => attributes['counterfoil.outcome'])).toEqual(['not_pending', 'not_pending']);
  expect(commands.map(({ attributes }) => attributes['counterfoil.replayed'])).toEqual([undefined, true]);
  const named = exporter.getFinishedSpans().flatMap(({ attributes }) => attributes['counterfoil.transaction_id'] ?? []);
  // The one that was asked for, by its path.
  expect(new Set(named)).toEqual(new Set([hold.body.id]));
});

test('every command and query is a span below its request, in every room', async () => {
  exporter.reset();
  const asked: [path: string, key: string, span: string][] = [
    ['/v1/accounts', key, 'query ListAccounts'],
    ['/v1/merchants', OPERATOR_KEY, 'query ListMerchants'],
    ['/v1/dead_letters', OPERATOR_KEY, 'query ListDeadLetters'],
    ['/v1/daily_summaries', key, 'query ListDailySummaries'],
    ['/v1/webhook_endpoints', key, 'query ListWebhookEndpoints'],
  ];
  for (const [path, as, name] of asked) {
    expect((await callAt(api.url, 'GET', path, { key: as })).status).toBe(200);
    const spans = exporter.getFinishedSpans();
    const request = spans.find((span) => span.name === `GET ${path}`);
    const query = spans.find((span) => span.name === name);
    expect(query?.parentSpanContext?.spanId, name).toBe(request?.spanContext().spanId);
    expect(query?.attributes['counterfoil.outcome']).toBe('ok');
  }
});
