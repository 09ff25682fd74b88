import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, OPERATOR_KEY, startTestApi, type TestApi } from './support/bare-api.js';

let test: TestApi;
let key: string;
beforeAll(async () => {
  test = await startTestApi({ HEADERS_TIMEOUT_MS: '500', BODY_TIMEOUT_MS: '1500' });
  ({ key } = await test.createMerchant());
});
afterAll(() => test.stop());

const account = { code: 'wallet:x', name: 'X', currency: 'EUR', normal_side: 'credit' };

function expectProblem(answer: Answer, status: number, code: string): void {
  expect(answer.body).toMatchObject({ status, code, trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) });
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(JSON.stringify(answer.body)).not.toMatch(/node_modules|\.ts:|\.js:/);
}

/** Sends bytes as they are and gives back all that comes until the connection ends. */
function rawRequest(bytes: string): Promise<string> {
  const { hostname, port } = new URL(test.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
}

describe('bad requests', () => {
  it.each<[string, () => Promise<Answer>, number, string]>([
    ['no key', () => test.call('GET', '/v1/accounts', { key: false }), 401, 'unauthorized'],
    ['a garbage key', () => test.call('GET', '/v1/accounts', { key: 'cfm_garbage' }), 401, 'unauthorized'],
    [
      'another operator key',
      () => test.call('GET', '/v1/merchants', { key: `cfo_${'u'.repeat(40)}` }),
      401,
      'unauthorized',
    ],
    [
      'another scheme',
      () => test.call('GET', '/v1/accounts', { key: false, headers: { authorization: 'Basic eDp5' } }),
      401,
      'unauthorized',
    ],
    ['a merchant on a platform route', () => test.call('GET', '/v1/merchants', { key }), 403, 'forbidden'],
    ['an operator without a merchant', () => test.call('GET', '/v1/accounts'), 422, 'validation_failed'],
    ['an unknown route', () => test.call('GET', '/v1/nothing', { key }), 404, 'not_found'],
    ['a path that cannot be decoded', () => test.call('GET', '/v1/accounts/%zz', { key }), 404, 'not_found'],
    ['an endless path', () => test.call('GET', `/v1/accounts/${'9'.repeat(2_000)}`, { key }), 404, 'not_found'],
    ['an id that is none', () => test.call('GET', '/v1/accounts/abc', { key }), 404, 'not_found'],
    ['another method', () => test.call('DELETE', '/v1/accounts', { key }), 405, 'method_not_allowed'],
    ['an unknown query parameter', () => test.call('GET', '/v1/accounts?limt=5', { key }), 422, 'validation_failed'],
    [
      'a query where none is taken',
      () => test.call('POST', '/v1/accounts?x=1', { key, body: account }),
      422,
      'validation_failed',
    ],
    ['a parameter twice', () => test.call('GET', '/v1/accounts?limit=5&limit=6', { key }), 422, 'validation_failed'],
    ['NUL in a query', () => test.call('GET', '/v1/accounts?code_prefix=%00', { key }), 422, 'validation_failed'],
    ['half a document', () => test.call('POST', '/v1/accounts', { key, body: '{"code":' }), 400, 'malformed_json'],
    [
      'an empty body',
      () => test.call('POST', '/v1/accounts', { key, headers: { 'content-type': 'application/json' } }),
      422,
      'validation_failed',
    ],
    ['a list for an object', () => test.call('POST', '/v1/accounts', { key, body: [] }), 422, 'validation_failed'],
    [
      'an unknown field',
      () => test.call('POST', '/v1/accounts', { key, body: { ...account, extra: 1 } }),
      422,
      'validation_failed',
    ],
    [
      '__proto__',
      () => test.call('POST', '/v1/accounts', { key, body: '{"__proto__":{"x":1}}' }),
      422,
      'validation_failed',
    ],
    [
      'constructor',
      () => test.call('POST', '/v1/accounts', { key, body: '{"constructor":{"prototype":{}}}' }),
      422,
      'validation_failed',
    ],
    [
      'NUL',
      () => test.call('POST', '/v1/accounts', { key, body: { ...account, name: 'a\0b' } }),
      422,
      'validation_failed',
    ],
    [
      'half a surrogate pair',
      () => test.call('POST', '/v1/accounts', { key, body: '{"name":"\\ud800"}' }),
      422,
      'validation_failed',
    ],
    [
      'deep nesting',
      () => test.call('POST', '/v1/accounts', { key, body: '['.repeat(100_000) }),
      422,
      'validation_failed',
    ],
    [
      'text',
      () => test.call('POST', '/v1/accounts', { key, body: 'x', headers: { 'content-type': 'text/plain' } }),
      415,
      'unsupported_media_type',
    ],
    [
      'a form',
      () =>
        test.call('POST', '/v1/accounts', {
          key,
          body: 'a=b',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        }),
      415,
      'unsupported_media_type',
    ],
    ['2 MiB', () => test.call('POST', '/v1/accounts', { key, body: 'x'.repeat(2 ** 21) }), 413, 'payload_too_large'],
    [
      '9 MiB in a batch',
      () => test.call('POST', '/v1/transactions/batch', { key, body: 'x'.repeat(9 * 2 ** 20) }),
      413,
      'payload_too_large',
    ],
  ])('%s', async (_, ask, status, code) => expectProblem(await ask(), status, code));

  it('names the methods that a path has', async () => {
    const answer = await test.call('PUT', '/v1/accounts', { key });
    expect(answer.headers.get('allow')?.split(', ').sort()).toEqual(['GET', 'HEAD', 'POST']);
  });

  it.each([
    ['limit=5&limit=6', 'limit', 'must be given once'],
    ['currency=EUR&currency=EUR', 'currency', 'must be given once'],
    ['created_from=2026-11-21T18:09:00+01:00', 'created_from', '%2B'],
    ['created_from=2026-11-21T18:09:00.5+01:00', 'created_from', '%2B'],
    ['created_from=yesterday', 'created_from', 'RFC 3339'],
  ])('says what is wrong with ?%s', async (query, path, message) => {
    const list = path === 'created_from' ? 'transactions' : 'accounts';
    const { status, body } = await test.call('GET', `/v1/${list}?${query}`, { key });
    expect(status).toBe(422);
    expect(body.errors).toEqual([{ path, message: expect.stringContaining(message) }]);
  });

  it('asks for a key by name', async () => {
    const answer = await test.call('GET', '/v1/accounts', { key: false });
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
  });

  it('reads 2 MiB of a batch before judging it', async () => {
    const answer = await test.call('POST', '/v1/transactions/batch', {
      key,
      body: `{"mode":"${'x'.repeat(2 ** 21)}"}`,
    });
    expectProblem(answer, 422, 'validation_failed');
  });

  it('does not read the body of a stranger', async () => {
    const answer = await rawRequest(
      'POST /v1/transactions/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n{',
    );
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
  });

  it('tells every wrong field by its dotted path', async () => {
    const { body } = await test.call('POST', '/v1/transactions', {
      key,
      body: {
        type: 'x',
        entries: [{ account_code: 'cash:EUR', direction: 'up', amount: '1e3', currency: 'EUR' }],
        more: 1,
      },
      headers: { 'idempotency-key': 'k' },
    });
    const paths = body.errors.map((error: { path: string }) => error.path);
    expect(paths).toEqual(expect.arrayContaining(['entries.0.direction', 'entries.0.amount', 'more']));
  });

  it.each([
    ['slow headers', 'GET /healthz HTTP/1.1\r\nHost:', 408],
    [
      'a slow body',
      `POST /v1/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${OPERATOR_KEY}\r\nContent-Length: 10\r\n`,
      408,
    ],
    ['no HTTP', 'GARBAGE\r\n\r\n', 400],
    ['endless headers', `GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
  ])('ends %s', async (_, bytes, status) => {
    const answer = await rawRequest(bytes);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(JSON.parse(answer.split('\r\n\r\n')[1] as string)).toMatchObject({ code: 'malformed_json', status });
  });

  it('stays in the trace of its caller', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const { body } = await test.call('GET', '/v1/accounts/1', {
      key,
      headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    });
    expect(body.trace_id).toBe(traceId);
  });
});

describe('health', () => {
  it('is ready, to anybody', async () => {
    expect(await test.call('GET', '/healthz', { key: false })).toMatchObject({ status: 200, body: { status: 'ok' } });
    const { status, body } = await test.call('GET', '/readyz', { key: false });
    expect({ status, body }).toEqual({
      status: 200,
      body: { status: 'ready', checks: { database: 'ok', schema: 'current', accepting: true, balance_cache: 'ok' } },
    });
  });
});

describe('documentation', () => {
  it('is served to anybody', async () => {
    expect((await test.call('GET', '/openapi.json', { key: false })).body.openapi).toBe('3.1.0');
    expect((await test.call('GET', '/docs', { key: false })).body).toContain('swagger-ui');
    expect((await test.call('GET', '/docs/swagger-ui-bundle.js', { key: false })).status).toBe(200);
  });
});
