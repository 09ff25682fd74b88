import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Merchant, OPERATOR_KEY, TestApi } from './support/api.js';

let api: TestApi;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start();
  shop = await api.merchant();
});
afterAll(() => api.stop());

const MIB = 1_048_576;
const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';

/** The head of a request, sent as it is, whose body never comes. */
function head(line: string, ...headers: string[]): string {
  return [`${line} HTTP/1.1`, ...headers, '', ''].join('\r\n');
}

interface RawAnswer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: looked into at will
  body: any;
}

/** The first answer on the connection; an interim one counts. */
async function ask(bytes: string): Promise<RawAnswer> {
  const text = await api.raw(bytes);
  const [start = '', ...rest] = text.split('\r\n\r\n');
  const [line = '', ...lines] = start.split('\r\n');
  const headers = new Headers(lines.map((header) => header.split(/: ?(.*)/s).slice(0, 2) as [string, string]));
  const json = rest.join('\r\n\r\n');
  return { status: Number(line.split(' ')[1]), headers, body: json.startsWith('{') ? JSON.parse(json) : undefined };
}

function expectProblem(answer: RawAnswer, status: number): void {
  expect([answer.status, answer.body?.status]).toEqual([status, status]);
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  expect(answer.headers.get('traceresponse')).toMatch(new RegExp(`^00-${answer.body.trace_id}-[0-9a-f]{16}-0[01]$`));
}

describe('before a body is read', () => {
  const length = `Content-Length: ${MIB}`;
  const json = 'Content-Type: application/json';

  // No byte of the body is ever sent: an answer that waited for it would not come before the test is over.
  test.each<[string, string, number]>([
    ['a route that is none', 'POST /v1/nothing', 404],
    ['a route with another method', 'PUT /v1/accounts', 405],
    ['a health check', 'POST /healthz', 405],
    ['the documentation', 'POST /docs', 405],
    ['a path that cannot be decoded', 'POST /v1/%zz', 404],
    ['a method of RFC 10008', 'QUERY /v1/accounts', 405],
    ['OPTIONS', 'OPTIONS /v1/accounts', 405],
    ['a route that wants a key', 'POST /v1/transactions/batch', 401],
    ['a route for operators', 'POST /v1/merchants', 401],
  ])('%s is refused', async (_name, line, status) => {
    for (const how of [`Content-Length: ${9 * MIB}`, 'Transfer-Encoding: chunked']) {
      expectProblem(await ask(head(line, 'Host: x', json, how)), status);
    }
    expectProblem(await ask(head(line, 'Host: x', json, length, 'Connection: close')), status);
  });

  test('nobody is told to go on who is refused then', async () => {
    const stranger = await ask(head('POST /v1/transactions', 'Host: x', json, length, 'Expect: 100-continue'));
    expectProblem(stranger, 401);
    expect(stranger.headers.get('connection')).toBe('close');
    const key = `Authorization: Bearer ${shop.apiKey.secret}`;
    const coded = head(
      'POST /v1/transactions',
      'Host: x',
      json,
      length,
      key,
      'Content-Encoding: gzip',
      'Expect: 100-continue',
    );
    expectProblem(await ask(coded), 415);
  });

  test('who may send is told to go on, and is answered', async () => {
    const body = '{}';
    const key = `Authorization: Bearer ${shop.apiKey.secret}`;
    const start = head(
      'POST /v1/accounts',
      'Host: x',
      json,
      `Content-Length: ${body.length}`,
      key,
      'Connection: close',
      'Expect: 100-continue',
    );
    const text = await api.raw(start + body);
    expect(text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 422 /);
  });
});

describe('heads that RFC 9110 and 9112 refuse', () => {
  test.each<[string, string, number]>([
    ['no Host', head('GET /healthz', 'Connection: close'), 400],
    ['two Hosts', head('GET /healthz', 'Host: x', 'Connection: close', 'HOST: y'), 400],
    ['two Hosts that are the same', head('GET /healthz', 'Host: x', 'Host: x', 'Connection: close'), 400],
    ['another transfer coding', head('POST /v1/accounts', 'Host: x', 'Transfer-Encoding: gzip, chunked'), 501],
    ['chunks that are not last', head('POST /v1/accounts', 'Host: x', 'Transfer-Encoding: chunked, gzip'), 400],
    ['another expectation', head('GET /healthz', 'Host: x', 'Expect: a-miracle', 'Connection: close'), 417],
    ['a bare line feed', 'GET /healthz HTTP/1.1\nHost: x\n\n', 400],
    ['a bare line feed between headers', 'GET /healthz HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n', 400],
    ['two lengths that differ', head('POST /v1/accounts', 'Host: x', 'Content-Length: 1', 'Content-Length: 2'), 400],
    [
      'a length and chunks',
      head('POST /v1/accounts', 'Host: x', 'Content-Length: 5', 'Transfer-Encoding: chunked'),
      400,
    ],
  ])('%s', async (_name, bytes, status) => expectProblem(await ask(bytes), status));

  test('HTTP/1.0 needs no Host', async () => {
    expect((await ask('GET /healthz HTTP/1.0\r\n\r\n')).status).toBe(200);
  });
});

describe('Allow', () => {
  test.each([
    ['/v1/accounts', 'GET, HEAD, POST'],
    ['/v1/transactions/batch', 'POST'],
    ['/v1/transactions/1', 'GET, HEAD'],
    ['/v1/transactions/1/void', 'POST'],
    ['/healthz', 'GET, HEAD'],
  ])('of %s is %s', async (path, allow) => {
    for (const method of ['OPTIONS', 'PUT']) {
      const answer = await shop.client.request(method, path);
      expect([answer.status, answer.body.code]).toEqual([405, 'method_not_allowed']);
      expect(answer.headers.get('allow')?.split(', ').sort().join(', ')).toBe(allow);
    }
  });
});

describe('the authorization header', () => {
  const secret = () => shop.apiKey.secret;
  const status = async (value: string) =>
    (await ask(head('GET /v1/accounts', 'Host: x', 'Connection: close', value))).status;

  test.each<[string, () => string, number]>([
    ['Bearer', () => `Authorization: Bearer ${secret()}`, 200],
    ['bearer', () => `Authorization: bearer ${secret()}`, 200],
    ['BEARER', () => `Authorization: BEARER ${secret()}`, 200],
    ['several spaces', () => `Authorization: Bearer   ${secret()}`, 200],
    ['white space around it', () => `Authorization: \t Bearer ${secret()} \t`, 200],
    ['a lower-case name', () => `authorization: Bearer ${secret()}`, 200],
    ['nothing', () => 'Authorization:', 401],
    ['the scheme alone', () => 'Authorization: Bearer', 401],
    ['the scheme and a space', () => 'Authorization: Bearer ', 401],
    ['the key alone', () => `Authorization: ${secret()}`, 401],
    ['no space', () => `Authorization: Bearer${secret()}`, 401],
    ['a tab', () => `Authorization: Bearer\t${secret()}`, 401],
    ['a colon', () => `Authorization: Bearer: ${secret()}`, 401],
    ['quotes', () => `Authorization: Bearer "${secret()}"`, 401],
    ['Basic', () => `Authorization: Basic ${Buffer.from(`x:${secret()}`).toString('base64')}`, 401],
    ['Token', () => `Authorization: Token ${secret()}`, 401],
    ['two keys', () => `Authorization: Bearer ${secret()} ${secret()}`, 401],
    ['a list', () => `Authorization: Bearer ${secret()}, Bearer ${secret()}`, 401],
    ['parameters', () => `Authorization: Bearer token=${secret()}`, 401],
    ['one character less', () => `Authorization: Bearer ${secret().slice(0, -1)}`, 401],
    ['one character more', () => `Authorization: Bearer ${secret()}a`, 401],
    ['capitals', () => `Authorization: Bearer ${secret().toUpperCase()}`, 401],
    ['escapes', () => `Authorization: Bearer %63${secret().slice(1)}`, 401],
    ['ten thousand characters', () => `Authorization: Bearer ${'c'.repeat(10_000)}`, 401],
    ['another header', () => `Proxy-Authorization: Bearer ${secret()}`, 401],
  ])('%s', async (_name, header, expected) => expect(await status(header())).toBe(expected));

  test('a first one that is wrong is not made good by a second', async () => {
    expect(await status(`Authorization: Bearer x\r\nAuthorization: Bearer ${secret()}`)).toBe(401);
  });

  test('a key in the query is none', async () => {
    expect((await api.client().get(`/v1/accounts?access_token=${secret()}`)).status).toBe(401);
  });
});

describe('pages for a browser', () => {
  test.each(['/docs', '/docs/swagger-ui-bundle.js', '/docs/nothing.js', '/docs/swagger-ui-init.js'])(
    '%s is framed by nobody and runs no script but its own',
    async (path) => {
      const { headers } = await api.client().get(path);
      expect(headers.get('content-security-policy')).toMatch(/^default-src 'self';.*frame-ancestors 'none'$/);
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    },
  );
});

describe('a key of the wrong kind', () => {
  test('is told so', async () => {
    const platform = await shop.client.get('/v1/merchants');
    expect([platform.status, platform.body.code]).toEqual([403, 'forbidden']);
    expect(platform.body.detail).toMatch(/takes an operator’s key \(cfo_…\), and this is a merchant’s/);
    const merchant = await api.operator.get('/v1/accounts');
    expect([merchant.status, merchant.body.errors[0].path]).toEqual([422, 'Counterfoil-Merchant']);
  });
});

describe('trace ids', () => {
  const traceparent = `00-${TRACE_ID}-00f067aa0ba902b7-01`;

  test('every answer carries its own', async () => {
    for (const [path, client] of [
      ['/healthz', api.client()],
      ['/v1/accounts', shop.client],
      ['/v1/accounts', api.client()],
      ['/v1/nothing', api.client()],
      ['/v1/accounts/1', shop.client],
      ['/docs', api.client()],
    ] as const) {
      const answer = await client.get(path);
      const id = /^00-([0-9a-f]{32})-[0-9a-f]{16}-0[01]$/.exec(answer.headers.get('traceresponse') ?? '')?.[1];
      expect(id, path).toBeDefined();
      if (answer.body?.trace_id) expect(answer.body.trace_id).toBe(id);
    }
  });

  test("a caller with a valid key stays in its trace, a stranger's is not taken up", async () => {
    const ask = async (authorization: string, path = '/v1/accounts') =>
      (await api.client({ authorization, traceparent }).get(path)).headers.get('traceresponse');
    expect(await ask(`Bearer ${shop.apiKey.secret}`)).toContain(TRACE_ID);
    expect(await ask(`Bearer ${OPERATOR_KEY}`, '/v1/merchants')).toContain(TRACE_ID);
    for (const path of ['/v1/accounts', '/healthz', '/v1/nothing', '/openapi.json']) {
      expect(await ask('Bearer cfm_stranger', path)).not.toContain(TRACE_ID);
    }
  });

  test('where only a proxy of ours is let in, everybody is', async () => {
    const behind = await TestApi.start({ on: api.on, environment: { TRACEPARENT_TRUST: 'everybody' } });
    const answer = await behind.client({ traceparent }).get('/healthz');
    expect(answer.headers.get('traceresponse')).toContain(TRACE_ID);
    await behind.stop();
  });
});
