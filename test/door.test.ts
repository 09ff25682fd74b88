import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateApiKey } from '#tenancy/api-key.js';
import { freePort } from '../scripts/ports.mjs';
import { type Answer, type Ask, type Merchant, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { until } from './support/until.js';

/** What is refused before its route is entered is answered by the hook itself, past Fastify's and Nest's handlers of errors. */

const FLOOD = 60;
const PARENT = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${PARENT}-00f067aa0ba902b7-01`;

let api: TestApi;
let shop: Merchant;
let limited: Merchant;

beforeAll(async () => {
  const environment = {
    AUTH_FAILURES_BURST: '1000',
    LOG_LEVEL: 'info',
    METRICS_PORT: String(await freePort()),
    LIMIT_REDIS_TIMEOUT_MS: '1000',
  };
  // One line of each code, for as long as this lasts.
  api = await TestApi.start({ environment, config: { logRefusalsPerSecond: 1 / 600 } });
  await Contract.hold(api);
  shop = await api.merchant('EUR');
  limited = await api.merchant('EUR');
  const plan = { units_per_second: 1, burst_units: 20, units_in_flight: 1_000 };
  await api.operator.request('PUT', `/v1/merchants/${limited.id}/limits`, { body: plan });
  await until('its units are used', async () => (await limited.client.get('/v1/accounts')).status === 429);
});
afterAll(() => api.stop());

const account = () => `/v1/accounts/${shop.accounts['cash:EUR']}`;
const forged = () => api.withKey(generateApiKey(BigInt(shop.id)));

interface Refusal {
  name: string;
  status: number;
  code: string;
  ask: (headers: Record<string, string>) => Promise<Answer>;
  /** Headers that only some have. */
  has: string[];
  /** Whether the key is valid: then the caller's trace goes on. */
  isKnown: boolean;
}

const posted = (ask: Ask) => (headers: Record<string, string>) =>
  shop.client.request('POST', '/v1/transactions', {
    key: randomUUID(),
    ...ask,
    headers: { ...headers, ...ask.headers },
  });
const LIMITS = ['ratelimit', 'ratelimit-policy'];

const REFUSALS: Refusal[] = [
  {
    name: 'no key',
    status: 401,
    code: 'unauthorized',
    ask: (headers) => api.client().get('/v1/accounts', { headers }),
    has: ['www-authenticate'],
    isKnown: false,
  },
  {
    name: 'a key that is none',
    status: 401,
    code: 'unauthorized',
    ask: (headers) => api.withKey('cfm_nobody').get('/v1/accounts', { headers }),
    has: ['www-authenticate'],
    isKnown: false,
  },
  {
    name: 'a forged key, which is looked up',
    status: 401,
    code: 'unauthorized',
    ask: (headers) => forged().get('/v1/accounts', { headers }),
    has: ['www-authenticate'],
    isKnown: false,
  },
  {
    name: 'a merchant that has used its units',
    status: 429,
    code: 'rate_limited',
    ask: (headers) => limited.client.get('/v1/accounts', { headers }),
    has: [...LIMITS, 'retry-after'],
    isKnown: true,
  },
  {
    name: 'a route of operators',
    status: 403,
    code: 'forbidden',
    ask: (headers) => shop.client.get('/v1/merchants', { headers }),
    has: LIMITS,
    isKnown: true,
  },
  {
    name: 'no such route',
    status: 404,
    code: 'not_found',
    ask: (headers) => shop.client.get('/v1/nowhere', { headers }),
    has: LIMITS,
    isKnown: true,
  },
  {
    name: 'a method that the route has not',
    status: 405,
    code: 'method_not_allowed',
    ask: (headers) => shop.client.request('DELETE', '/v1/accounts', { headers }),
    has: [...LIMITS, 'allow'],
    isKnown: true,
  },
  {
    name: 'a query parameter that there is not',
    status: 422,
    code: 'validation_failed',
    ask: (headers) => shop.client.get(`${account()}?unknown=1`, { headers }),
    has: LIMITS,
    isKnown: true,
  },
  {
    name: 'a body in another encoding',
    status: 415,
    code: 'unsupported_media_type',
    ask: posted({ raw: '{}', headers: { 'content-type': 'application/json; charset=latin1' } }),
    has: LIMITS,
    isKnown: true,
  },
];

describe('what is refused at the door', () => {
  test.each(REFUSALS)(
    '$name: has all headers of the contract, and a problem',
    async ({ ask, status, code, has, isKnown }) => {
      const { headers, body, ...answer } = await ask({ traceparent: TRACEPARENT });
      expect([answer.status, body.status, body.code]).toEqual([status, status, code]);
      expect(Object.keys(body).sort()).toEqual(
        ['type', 'title', 'status', 'code', 'detail', 'trace_id', ...(body.errors ? ['errors'] : [])].sort(),
      );
      expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      const [, traceId] = /^00-([0-9a-f]{32})-[0-9a-f]{16}-0[0-3]$/.exec(headers.get('traceresponse') ?? '') ?? [];
      expect(traceId).toBe(body.trace_id);
      expect(traceId === PARENT, 'the trace of who has a key goes on').toBe(isKnown);
      const some = ['www-authenticate', 'retry-after', 'allow', ...LIMITS];
      expect(some.filter((name) => headers.has(name)).sort()).toEqual([...has].sort());
    },
  );

  test('is written to the log once in a while, however often, and counted each time', async () => {
    const lines = (status: number) =>
      api.errors.filter((line) => line.includes('"msg":"request"') && JSON.parse(line).status === status).length;
    const counted = async (route: string) => {
      const pattern = new RegExp(
        `^counterfoil_http_requests_total\\{method="GET",route="${route}",status="4xx"\\} (\\d+)`,
        'm',
      );
      return Number(pattern.exec(await api.metrics())?.[1] ?? 0);
    };
    const flood = (ask: () => Promise<Answer>) => Promise.all(Array.from({ length: FLOOD }, ask));
    const before = await counted('/v1/accounts');
    await flood(() => api.client().get('/v1/accounts'));
    await flood(() => limited.client.get('/v1/accounts'));
    await flood(() => api.client().get(`/v1/nowhere/${randomUUID()}`));
    const paid = lines(404);
    for (let asked = 0; asked < 3; asked += 1) await shop.client.get('/v1/accounts/1');
    await until('all are counted', async () => (await counted('/v1/accounts')) === before + 2 * FLOOD);
    await until('what is paid for is written', () => lines(404) === paid + 3);
    expect([lines(401), lines(429)]).toEqual([1, 1]);
    expect(paid).toBeLessThanOrEqual(2);
  });

  test('adds no series to the metrics, whatever is made up', async () => {
    const series = async () =>
      (await api.metrics()).split('\n').filter((line) => line.startsWith('counterfoil_')).length;
    const invented = async () => {
      const id = String(BigInt(`0x${randomUUID().replaceAll('-', '').slice(0, 15)}`));
      await api.client().get(`/v1/${randomUUID()}`);
      await api.client().request('PROPFIND' as 'GET', `/v1/accounts/${id}`);
      await api.client().post(`/v1/providers/${randomUUID()}/merchants/${id}/webhook`, { body: {} });
      await forged().get('/v1/accounts', { headers: { 'counterfoil-merchant': id } });
      await api.actingFor(id).get(`/v1/accounts/${id}`);
      await api.operator.get(`/v1/merchants/${id}/limits`);
      await shop.client.get(`/v1/accounts?${randomUUID()}=1`);
    };
    await invented();
    const before = await series();
    for (let times = 0; times < 10; times += 1) await invented();
    expect(await series()).toBe(before);
  });
});
