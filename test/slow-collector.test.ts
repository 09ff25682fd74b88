import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MAX_WAITING_SPANS } from '#platform/span-exports.js';
import { Telemetry } from '#platform/telemetry.js';
import { type Api, startApi } from '../apps/api/src/api.js';
import { readConfig } from '../apps/config.js';
import { freePort } from '../scripts/ports.mjs';
import { OPERATOR_KEY } from './support/api.js';
import { callAt } from './support/bare-api.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { liveBytes } from './support/live-bytes.js';
import { readingOf } from './support/metrics.js';
import { until } from './support/until.js';

/** A collector that hangs, refuses or is away costs spans: no request, no time, and no more memory than those that wait. */

const MIB = 1_048_576;
/** Below the exporter's own patience: who waited for it would take longer. */
const PROMPT_MS = 2_500;
const REQUESTS = 40;

let on: TestDatabase;
let api: Api;
let telemetry: Telemetry;
let collector: Server;
let respond: (response: ServerResponse) => void = () => undefined;
let asked = 0;

beforeAll(async () => {
  on = await freshDatabase();
  collector = createServer((request, response) => {
    asked += 1;
    request.resume().on('end', () => respond(response));
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  const { port } = collector.address() as AddressInfo;
  telemetry = Telemetry.start({ otlpEndpoint: `http://127.0.0.1:${port}`, sampleRatio: 1, serviceName: 'test' });
  const config = readConfig({
    PORT: '0',
    LOG_LEVEL: 'silent',
    METRICS_PORT: String(await freePort()),
    DATABASE_URL: on.ownerUrl,
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
  });
  api = await startApi(config, { telemetry });
});
afterAll(async () => {
  respond = (response) => response.end();
  await api.stop();
  collector.closeAllConnections();
  collector.close();
  await on.drop();
});

const spans = async (outcome: string): Promise<number> => {
  const text = await (await fetch(api.metricsUrl as string)).text();
  return readingOf(text, `counterfoil_trace_spans_total{outcome="${outcome}"}`) ?? 0;
};

/** As many traces of two spans as fill what may wait, twice over. */
function flood(): void {
  const request = { method: 'GET', route: '/x', path: () => '/x', startedMs: performance.now() };
  for (let at = 0; at < MAX_WAITING_SPANS; at += 1) {
    const span = telemetry.startRequest(request, undefined);
    span.setAttribute('counterfoil.merchant_id', String(at));
    telemetry.endRequest(telemetry.startRequest(request, undefined), 200);
    telemetry.endRequest(span, 200);
  }
}

async function answersPromptly(): Promise<void> {
  for (let at = 0; at < REQUESTS; at += 1) {
    const from = performance.now();
    expect((await callAt(api.url, 'GET', '/v1/merchants', { key: OPERATOR_KEY })).status).toBe(200);
    expect(performance.now() - from).toBeLessThan(PROMPT_MS);
  }
}

test('one that hangs: requests are answered as ever, and what waits is bounded', async () => {
  flood();
  await until('the collector was asked', () => asked > 0);
  const before = liveBytes();
  for (let again = 0; again < 3; again += 1) flood();
  await answersPromptly();
  expect(liveBytes() - before).toBeLessThan(8 * MIB);
  expect(await spans('dropped')).toBeGreaterThan(3 * MAX_WAITING_SPANS);
});

test('one that refuses likewise, and its refusals are counted', async () => {
  respond = (response) => response.writeHead(400).end();
  // What hung is given up.
  collector.closeAllConnections();
  await until('a batch was refused', async () => (await spans('failed')) > 0);
  await answersPromptly();
});

test('and when it takes spans again it gets those that wait', async () => {
  respond = (response) => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  flood();
  await until('spans were taken', async () => (await spans('exported')) > 0);
});
