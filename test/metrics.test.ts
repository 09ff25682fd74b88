import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { NestFactory } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLogger } from '#platform/logging.js';
import { Telemetry } from '#platform/telemetry.js';
import { readConfig } from '../apps/config.js';
import { WorkerModule } from '../apps/worker/src/worker.module.js';
import { freePort } from '../scripts/ports.mjs';
import { TestApi, transfer } from './support/api.js';
import { readingOf } from './support/metrics.js';
import { privateRedis } from './support/redis.js';
import { sourceProcess } from './support/source-process.js';
import { until } from './support/until.js';

let api: TestApi;
let port: number;
let url: string;

beforeAll(async () => {
  port = await freePort();
  api = await TestApi.start({
    // Nothing expires or times out between the readings.
    environment: {
      METRICS_PORT: String(port),
      BALANCE_TTL_MS: '600000',
      BALANCE_REDIS_TIMEOUT_MS: '10000',
      REQUEST_DEADLINE_MS: '20000',
    },
  });
  url = `http://127.0.0.1:${port}`;
});
afterAll(() => api.stop());

/** From an address of one's own choice: all of 127/8 is this machine, and only 127.0.0.1 is allowed by default. */
function scrape(
  url: string,
  { from = '127.0.0.1', headers = {} }: { from?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; type: string; text: string }> {
  return new Promise((resolve, reject) => {
    request(`${url}/metrics`, { localAddress: from, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: String(response.headers['content-type']), text }),
      );
    })
      .on('error', reject)
      .end();
  });
}

/** What of ours a process tells, whether or not there is a reading yet. */
const namesIn = (text: string): string[] =>
  [...text.matchAll(/^# TYPE (counterfoil_\w+) /gm)].map(([, name]) => String(name));

/** The first column of the table in docs/metrics.md. */
function documented(): string[] {
  const page = readFileSync(new URL('../docs/metrics.md', import.meta.url), 'utf8');
  const cells = [...page.matchAll(/^\| (`[^|]+) \|/gm)].map(([, cell]) => String(cell));
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)/g)].map(([, name]) => `counterfoil_${name}`)).sort();
}

const scrapeApi = () => scrape(url);

const NAMES = [
  'counterfoil_balance_hits_total',
  'counterfoil_balance_misses_total',
  'counterfoil_balance_fenced_reads_total',
  'counterfoil_balance_lease_waits_total',
  'counterfoil_balance_early_refreshes_total',
  'counterfoil_balance_publishes_total{outcome="installed"}',
  'counterfoil_balance_publishes_total{outcome="refused"}',
  'counterfoil_balance_publishes_total{outcome="unconfirmed"}',
  'counterfoil_balance_unfenced_groups_total',
  'counterfoil_balance_sweeps_total',
  'counterfoil_balance_breaker{state="closed"}',
  'counterfoil_balance_breaker{state="open"}',
  'counterfoil_balance_pending_invalidations',
  'counterfoil_balance_refusing',
  'counterfoil_balance_database_queries_total',
  'counterfoil_balance_database_waiting',
  'counterfoil_writer_waiting',
  'counterfoil_writer_groups_total{lane="shared"}',
  'counterfoil_writer_groups_total{lane="apart"}',
  'counterfoil_writer_left_behind_total',
  'counterfoil_writer_capacity',
  'counterfoil_writer_lanes{lane="shared"}',
  'counterfoil_writer_busy_lanes{lane="apart"}',
  'counterfoil_http_requests_in_hand',
  'counterfoil_database_pool_connections{state="in_use"}',
  'counterfoil_database_pool_size',
  'counterfoil_event_loop_busy_seconds_total',
  'counterfoil_event_followers',
  'counterfoil_event_polls_total',
  'process_cpu_seconds_total',
];

describe('/metrics of the API', () => {
  test('has every name, in the format that Prometheus reads', async () => {
    const { status, type, text } = await scrape(url);
    expect(status).toBe(200);
    expect(type).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(NAMES.filter((name) => readingOf(text, name) === undefined)).toEqual([]);
    expect(readingOf(text, 'counterfoil_balance_breaker{state="closed"}')).toBe(1);
  });

  test('moves with what happens', async () => {
    const shop = await api.merchant('EUR');
    await shop.open('from');
    const to = await shop.open('to');
    const before = (await scrape(url)).text;
    const startedMs = performance.now();
    await shop.posted(transfer('from', 'to', '5'));
    for (let n = 0; n < 3; n += 1) await shop.client.get(`/v1/accounts/${to}/balance`);
    await api.client().get('/nowhere/at/all');
    await until(
      'all is answered',
      async () => readingOf((await scrape(url)).text, 'counterfoil_http_requests_in_hand') === 0,
    );
    const after = (await scrape(url)).text;
    const elapsedS = (performance.now() - startedMs) / 1_000;
    const moved = (name: string): number => (readingOf(after, name) ?? 0) - (readingOf(before, name) ?? 0);
    expect(moved('counterfoil_balance_hits_total')).toBe(3);
    expect(moved('counterfoil_balance_groups_total')).toBe(1);
    expect(moved('counterfoil_writer_groups_total{lane="shared"}')).toBe(1);
    expect(moved('counterfoil_balance_publishes_total{outcome="installed"}')).toBe(2);
    const requests = (method: string, route: string, status: string): number =>
      moved(`counterfoil_http_requests_total{method="${method}",route="${route}",status="${status}"}`);
    expect(requests('POST', '/v1/transactions', '2xx')).toBe(1);
    expect(requests('GET', '/v1/accounts/:id/balance', '2xx')).toBe(3);
    expect(requests('any', 'none', '4xx')).toBe(1);
    const timed = (name: string): number => moved(`counterfoil_${name}`);
    expect(timed('http_request_seconds_count{method="POST",route="/v1/transactions",status="2xx"}')).toBe(1);
    for (const name of [
      'writer_wait_seconds_count{lane="shared"}',
      'writer_group_requests_bucket{lane="shared",le="1.0"}',
      'writer_step_seconds_count{step="lock balances"}',
      'writer_step_seconds_count{step="write and commit"}',
      'balance_call_seconds_count{call="fence"}',
      'balance_call_seconds_count{call="publish"}',
    ]) {
      expect([name, timed(name)]).toEqual([name, 1]);
    }
    expect(timed('balance_call_seconds_count{call="read"}')).toBe(3);
    const calls = (kind: string, name: string): number =>
      moved(`counterfoil_${kind}_seconds_count{name="${name}",outcome="ok"}`);
    expect(calls('command', 'PostTransaction')).toBe(1);
    expect(calls('query', 'GetBalance')).toBe(3);
    for (const name of [
      'http_request_seconds_sum{method="POST",route="/v1/transactions",status="2xx"}',
      'writer_wait_seconds_sum{lane="shared"}',
      'writer_step_seconds_sum{step="lock balances"}',
      'writer_step_seconds_sum{step="write and commit"}',
      'balance_call_seconds_sum{call="fence"}',
      'command_seconds_sum{name="PostTransaction",outcome="ok"}',
    ]) {
      const isInSeconds = timed(name) > 0 && timed(name) < elapsedS;
      expect([name, timed(name), isInSeconds]).toEqual([name, timed(name), true]);
    }
    expect(after).not.toContain('nowhere');
    expect(after).not.toContain(to);
  });

  test('is no route for a foreign address, nor for whom a proxy forwards', async () => {
    for (const answer of [
      await scrape(url, { from: '127.0.0.2' }),
      await scrape(url, { headers: { 'x-forwarded-for': '127.0.0.1' } }),
    ]) {
      expect([answer.status, answer.text]).toEqual([404, '']);
    }
  });

  test('is on a port of its own, which serves nothing else, and never on the public one', async () => {
    expect((await api.client().get('/metrics')).body.code).toBe('not_found');
    expect((await api.operator.get('/metrics')).body.code).toBe('not_found');
    for (const path of ['/', '/healthz', '/v1/accounts']) expect((await fetch(url + path)).status).toBe(404);
  });

  test('is closed with the API, and not served without METRICS_PORT', async () => {
    const own = await freePort();
    const other = await TestApi.start({ on: api.on, environment: { METRICS_PORT: String(own) } });
    await other.stop();
    await expect(fetch(`http://127.0.0.1:${own}/metrics`)).rejects.toThrow();
  });

  test('tells whether budgets can be asked for where there is a Redis to have them, and nothing where there is none', async () => {
    expect(readingOf((await scrape(url)).text, 'counterfoil_limit_shares')).toBe(0);
    const own = await freePort();
    const environment = { METRICS_PORT: String(own) };
    const other = await TestApi.start({ on: api.on, environment, config: { redisUrl: undefined } });
    const { text } = await scrape(`http://127.0.0.1:${own}`);
    expect(readingOf(text, 'counterfoil_limit_budgets')).toBe(0);
    expect(readingOf(text, 'counterfoil_limit_shares')).toBeUndefined();
    await other.stop();
  });

  test('answers whom METRICS_ALLOW names, and no other', async () => {
    const own = await freePort();
    const environment = { METRICS_ALLOW: '127.0.0.2, ::1', METRICS_PORT: String(own) };
    const other = await TestApi.start({ on: api.on, environment });
    expect((await scrape(`http://127.0.0.1:${own}`, { from: '127.0.0.2' })).status).toBe(200);
    expect((await scrape(`http://127.0.0.1:${own}`)).status).toBe(404);
    await other.stop();
  });
});

describe('/metrics of the worker', () => {
  test('is served on METRICS_PORT to the same addresses, tells what the monitor found, and with the API’s is all that is documented', async () => {
    // Its duties reach every key: the run's shared cache has those of other files' databases.
    const [port, redis] = await Promise.all([freePort(), privateRedis()]);
    const config = readConfig({
      DATABASE_URL: api.on.ownerUrl,
      DATABASE_RUNTIME_URL: api.on.runtimeUrl,
      REDIS_URL: redis.url,
      METRICS_PORT: String(port),
      BALANCE_MONITOR_INTERVAL_MS: '100',
    });
    const logger = createLogger({ level: 'silent', service: 'test' });
    const telemetry = Telemetry.start({ otlpEndpoint: undefined, sampleRatio: 1, serviceName: 'test' });
    const worker = await NestFactory.createApplicationContext(
      await WorkerModule.with({ config, logger, telemetry, service: 'worker' }, { process: sourceProcess() }),
      { logger: false, abortOnError: false },
    );
    const url = `http://127.0.0.1:${port}`;
    await until('the monitor has made a round', async () => {
      const { text } = await scrape(url);
      return (readingOf(text, 'counterfoil_balance_monitor_rounds_total') ?? 0) > 0;
    });
    const { text } = await scrape(url);
    for (const verdict of ['fresh', 'stale', 'ahead', 'corrupt', 'absent', 'fenced']) {
      expect(readingOf(text, `counterfoil_balance_monitor_accounts_total{verdict="${verdict}"}`)).toBeDefined();
    }
    // It has no queue, and none that it could have lost.
    expect(readingOf(text, 'counterfoil_queue_connected')).toBeUndefined();
    // Nothing is traced here: slow-collector.test.ts reads what a process tells that sends spans.
    const untraced = documented().filter((name) => name !== 'counterfoil_trace_spans_total');
    expect(untraced).toEqual([...new Set([text, (await scrapeApi()).text].flatMap(namesIn))].sort());
    expect((await scrape(url, { from: '127.0.0.2' })).status).toBe(404);
    await worker.close();
    await expect(scrape(url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await redis.stop();
  });
});
