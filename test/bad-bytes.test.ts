import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../scripts/ports.mjs';
import { type Answer, type Merchant, TestApi, transfer, until, WITHOUT_BUDGETS } from './support/api.js';
import { Contract } from './support/contract.js';

const MIB = 1_048_576;
const SIZE = 100 * MIB;
/** What 100 MB may leave or hold in memory at any moment, this process's sending side included. */
const FLAT_BYTES = 48 * MIB;

let api: TestApi;
let shop: Merchant;
let before: Record<string, number>;

beforeAll(async () => {
  api = await TestApi.start({
    environment: {
      ...WITHOUT_BUDGETS,
      HEADERS_TIMEOUT_MS: '300',
      BODY_TIMEOUT_MS: '600',
      METRICS_PORT: String(await freePort()),
    },
  });
  await Contract.hold(api);
  shop = await api.merchant();
  await shop.posted(GOOD);
});
beforeEach(async () => {
  before = await api.countRows();
});
afterEach(async () => {
  expect(await api.countRows()).toEqual(before);
  expect(api.errors).toEqual([]);
});
afterAll(() => api.stop());

const GOOD = transfer('cash:EUR', 'suspense:EUR', '5');
const VALID = JSON.stringify(GOOD);

function send(raw: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Answer> {
  return shop.client.post('/v1/transactions', { raw, key: randomUUID(), headers });
}

const bytes = (...parts: (string | number)[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(parts.flatMap((part) => (typeof part === 'string' ? [...Buffer.from(part)] : [part])));

describe('bodies that are no JSON of ours', () => {
  test.each<[string, string | Uint8Array<ArrayBuffer>]>([
    ['a raw NUL in a string', VALID.replace('transfer', 'trans\0fer')],
    ['a raw newline in a string', VALID.replace('transfer', 'trans\nfer')],
    ['a lone surrogate as bytes', bytes('{"type":"', 0xed, 0xa0, 0x80, '"}')],
    ['an overlong slash', bytes('{"type":"', 0xc0, 0xaf, '"}')],
    ['half a character', bytes('{"type":"', 0xe2, 0x82)],
    ['a byte order mark', bytes(0xef, 0xbb, 0xbf, VALID)],
    ['UTF-16', new Uint8Array(Buffer.from(VALID, 'utf16le'))],
    ['gzip', bytes(0x1f, 0x8b, 0x08, 0x00)],
    ['a trailing comma', `${VALID.slice(0, -1)},}`],
    ['a comment', `/* */${VALID}`],
    ['single quotes', VALID.replaceAll('"', "'")],
    ['a leading zero', VALID.replace('"5"', '05')],
    ['a plus sign', VALID.replace('"5"', '+5')],
    ['a hexadecimal number', VALID.replace('"5"', '0x5')],
    ['Infinity', VALID.replace('"5"', 'Infinity')],
    ['white space alone', '   '],
    ['two bodies', VALID + VALID],
  ])('%s is malformed', async (_name, raw) => {
    const { status, body } = await send(raw);
    expect([status, body.code]).toEqual([400, 'malformed_json']);
  });

  test.each([21, 1_000, 50_000])('%d levels of nesting are refused', async (depth) => {
    const forms = [
      '['.repeat(depth) + ']'.repeat(depth),
      '['.repeat(depth),
      `{"type":"x","metadata":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`,
      `{"entries":${'['.repeat(depth)}${']'.repeat(depth)}}`,
      // An escape makes the reader look into every string, level by level.
      `{"entries":${'['.repeat(depth)}"\\u0041"${']'.repeat(depth)}}`,
      `{"type":"x","metadata":${'{"\\u0061":'.repeat(depth)}1${'}'.repeat(depth)}}`,
    ];
    for (const raw of forms) {
      const { status, body } = await send(raw);
      expect([status, body.code]).toEqual([422, 'validation_failed']);
      expect(body.detail).toContain('is nested more than 20 levels deep');
    }
  });

  test.each([
    ['{"__proto__":{"dry_run":true},', '__proto__'],
    ['{"\\u005f\\u005fproto__":{"dry_run":true},', '__proto__'],
    ['{"constructor":{"prototype":{"dry_run":true}},', 'constructor'],
    ['{"toString":1,', 'toString'],
    ['{"hasOwnProperty":1,', 'hasOwnProperty'],
  ])('a body that begins %s is refused, and pollutes nothing', async (start, path) => {
    const { status, body } = await send(VALID.replace('{', start));
    expect([status, body.errors[0].path]).toEqual([422, path]);
    expect(({} as { dry_run?: boolean }).dry_run).toBeUndefined();
  });

  test.each([
    [VALID.replace('"amount":"5"', '"amount":"5","amount":"500"'), 'entries.0.amount'],
    [VALID.replace('{', '{"dry_run":true,"dry_run":true,'), 'dry_run'],
    [VALID.replace('"amount":"5"', '"amount":"5","\\u0061mount":"5"'), 'entries.0.amount'],
  ])('a member that stands twice is malformed, and named', async (raw, path) => {
    const { status, body } = await send(raw);
    expect([status, body.code, body.errors]).toEqual([400, 'malformed_json', [{ path, message: 'stands twice' }]]);
    expect(body.detail).toContain(path);
  });

  test.each([
    ['gzip', { 'content-encoding': 'gzip' }],
    ['two codings', { 'content-encoding': 'identity, br' }],
    ['UTF-16', { 'content-type': 'application/json; charset=utf-16' }],
    ['Latin-1, quoted', { 'content-type': 'application/json; charset="ISO-8859-1"' }],
    ['two charsets', { 'content-type': 'application/json; charset=utf-8; charset=utf-16' }],
  ])('a body announced as %s is refused before it is read', async (_name, headers) => {
    const { status, body } = await send('{', headers as Record<string, string>);
    expect([status, body.code]).toEqual([415, 'unsupported_media_type']);
  });

  test('identity and UTF-8 may be announced', async () => {
    const headers = { 'content-encoding': 'identity', 'content-type': 'application/json; Charset="UTF-8"' };
    expect((await send('{}', headers)).status).toBe(422);
  });

  test('a body without a content type is refused, and so is a wrong one that holds JSON', async () => {
    for (const type of [
      '',
      'text/plain',
      'application/json+x',
      'application/ld+json',
      'text/json',
      'application/json, text/plain',
    ]) {
      const { status, body } = await send(VALID, { 'content-type': type });
      expect([type, status, body.code]).toEqual([type, 415, 'unsupported_media_type']);
    }
    for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/json;']) {
      expect((await send('{}', { 'content-type': type })).status).toBe(422);
    }
  });
});

/** Head of a posting without its end: the caller adds the headers that matter. */
function head(...headers: string[]): string {
  const { authorization } = shop.client.headers;
  const lines = [
    'POST /v1/transactions HTTP/1.1',
    'Host: x',
    `Authorization: ${authorization}`,
    'Content-Type: application/json',
  ];
  return [...lines, ...headers, '', ''].join('\r\n');
}

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}

describe('what is hardly HTTP', () => {
  const length = `Content-Length: ${VALID.length}`;

  test.each<[string, () => string, number]>([
    ['no HTTP at all', () => 'hello\r\n\r\n', 400],
    [
      'a length and chunks at once',
      () => `${head(length, 'Transfer-Encoding: chunked', 'Idempotency-Key: a')}0\r\n\r\n`,
      400,
    ],
    ['two lengths', () => head(length, 'Content-Length: 1', 'Idempotency-Key: a') + VALID, 400],
    ['a negative length', () => head('Content-Length: -1'), 400],
    ['a chunk that is none', () => `${head('Transfer-Encoding: chunked', 'Idempotency-Key: a')}zz\r\n`, 400],
    ['headers of 20 KB', () => head(`X-Long: ${'x'.repeat(20_000)}`), 431],
    ['a header without a name', () => head(': x'), 400],
    ['a NUL in a header', () => head('Idempotency-Key: a\0b'), 400],
    ['a bare line feed in a header', () => head('Idempotency-Key: a\nX-Other: b\0'), 400],
    ['two keys', () => head(length, 'Connection: close', 'Idempotency-Key: a', 'Idempotency-Key: b') + VALID, 400],
    ['a key of Latin-1', () => head(length, 'Connection: close', 'Idempotency-Key: é') + VALID, 400],
    [
      'two merchants',
      () => head(length, 'Connection: close', 'Counterfoil-Merchant: 1', 'Counterfoil-Merchant: 2') + VALID,
      404,
    ],
  ])('%s is a problem on the bare socket', async (_name, request, status) => {
    const answer = await api.raw(request());
    expect(statusOf(answer)).toBe(status);
    expect(answer).toMatch(/content-type: application\/problem\+json/i);
    expect(answer).not.toMatch(/node_modules|\bat \w+ \(/);
  });

  test('line breaks in paths, queries and keys never become headers of the answer', async () => {
    const smuggled = '%0d%0aX-Injected:%201';
    const answers = [
      await shop.client.get(`/v1/accounts/${smuggled}`),
      await shop.client.request('PUT', `/v1/accounts/${smuggled}`),
      await shop.client.get(`/v1/transactions?external_ref=${smuggled}`),
      await shop.client.get(`/v1/transactions?${smuggled}=1`),
      await shop.client.get('/v1/accounts', { headers: { 'counterfoil-merchant': smuggled } }),
      await shop.client.get('/v1/accounts', { headers: { traceparent: `00-${'0'.repeat(32)}-x-01` } }),
    ];
    for (const answer of answers) {
      expect(answer.headers.get('x-injected')).toBeNull();
      expect(answer.status).toBeLessThan(500);
    }
  });

  test('slow headers are cut off', async () => {
    const answer = await api.raw('POST /v1/transactions HTTP/1.1\r\nHost: x\r\nAuthor');
    expect(statusOf(answer)).toBe(408);
  });

  test.each(['Content-Length: 1000', 'Transfer-Encoding: chunked'])(
    'a body that does not come is cut off (%s)',
    async (how) => {
      const answer = await api.raw(head(how, 'Idempotency-Key: slow'));
      expect(statusOf(answer)).toBe(408);
      expect((await shop.client.get('/healthz')).status).toBe(200);
    },
  );

  test('a body that drips is cut off as well, however steadily', async () => {
    const { hostname, port } = new URL(api.url);
    const socket = connect(Number(port), hostname);
    let received = '';
    let isClosed = false;
    socket.on('data', (chunk) => (received += chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => (isClosed = true));
    socket.write(head('Content-Length: 100000', 'Idempotency-Key: drip'));
    const drip = setInterval(() => socket.write(' '), 20);
    await until(() => isClosed);
    clearInterval(drip);
    expect(statusOf(received)).toBe(408);
  });

  test('a client that goes away in the middle of its body leaves nothing', async () => {
    await api.raw(`${head('Content-Length: 100000', 'Idempotency-Key: gone')}{"type":`, { end: true });
    expect((await shop.client.get('/healthz')).status).toBe(200);
  });
});

/** Sends SIZE bytes as fast as they are taken; answers what came back and the most memory that was in use on the way. */
async function upload(
  start: string,
  frame: (chunk: Buffer) => Buffer,
  url = api.url,
): Promise<{ answer: string; sent: number; peakBytes: number }> {
  const { hostname, port } = new URL(url);
  const chunk = frame(Buffer.alloc(65_536, 0x20));
  globalThis.gc?.();
  const used = (): number => process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  const atFirst = used();
  let peakBytes = 0;
  let sent = 0;
  let answer = '';
  const socket = connect(Number(port), hostname);
  socket.on('data', (data) => (answer += data));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(start);
  while (sent < SIZE && !socket.destroyed && socket.writable) {
    sent += chunk.length;
    if (!socket.write(chunk)) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
    peakBytes = Math.max(peakBytes, used() - atFirst);
  }
  socket.end();
  await closed;
  return { answer, sent, peakBytes };
}

describe('a body of 100 MB', () => {
  const chunked = (chunk: Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]);

  test.each<[string, string, (chunk: Buffer) => Buffer]>([
    ['told in advance', `Content-Length: ${SIZE}`, (chunk) => chunk],
    ['in chunks', 'Transfer-Encoding: chunked', chunked],
  ])('%s is refused before it has come, and memory stays flat', async (_name, how, frame) => {
    for (const path of ['/v1/transactions', '/v1/transactions/batch']) {
      const start = head(how, 'Idempotency-Key: huge').replace('/v1/transactions', path);
      const { answer, sent, peakBytes } = await upload(start, frame);
      expect(statusOf(answer)).toBe(413);
      expect(answer).toContain('payload_too_large');
      expect(sent).toBeLessThan(SIZE);
      expect(peakBytes).toBeLessThan(FLAT_BYTES);
    }
  });

  test('the refusal reaches a client that reads it only after the server is done', async () => {
    const refusals = async (): Promise<string> => {
      const text = await api.metrics();
      return (
        /^counterfoil_http_requests_total\{method="POST",route="\/v1\/transactions",status="4xx"\} .*$/m.exec(
          text,
        )?.[0] ?? ''
      );
    };
    const earlier = await refusals();
    const { hostname, port } = new URL(api.url);
    const socket = connect(Number(port), hostname).pause();
    let answer = '';
    socket.on('data', (data) => (answer += data));
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(head(`Content-Length: ${SIZE}`, 'Idempotency-Key: huge'));
    // More than the kernel's buffers hold, so that bytes lie unread when the server closes.
    socket.write(Buffer.alloc(16 * MIB));
    await until(async () => (await refusals()) !== earlier);
    socket.resume();
    await closed;
    expect(statusOf(answer)).toBe(413);
  });

  test('of a stranger, or for a route that is none, is refused without being taken', async () => {
    const start = head(`Content-Length: ${SIZE}`);
    const stranger = await upload(start.replace(/Authorization: .*\r\n/, ''), (chunk) => chunk);
    const lost = await upload(start.replace('/v1/transactions', '/v1/nothing'), (chunk) => chunk);
    const wrong = await upload(head('Transfer-Encoding: chunked').replace('POST', 'PUT'), chunked);
    expect([stranger, lost, wrong].map(({ answer }) => statusOf(answer))).toEqual([401, 404, 405]);
    for (const { sent } of [stranger, lost, wrong]) expect(sent).toBeLessThan(SIZE);
  });

  test('a small body of a stranger does not cost the connection', async () => {
    const answer = await api.client().post('/v1/transactions', { raw: VALID });
    expect([answer.status, answer.headers.get('connection')]).toEqual([401, 'keep-alive']);
  });

  test('many at once leave memory flat too', async () => {
    const start = head('Transfer-Encoding: chunked', 'Idempotency-Key: huge');
    // With time enough for eight at once.
    const patient = await TestApi.start({ on: api.on, environment: WITHOUT_BUDGETS });
    const uploads = await Promise.all(Array.from({ length: 8 }, () => upload(start, chunked, patient.url)));
    await patient.stop();
    for (const { answer, peakBytes } of uploads) {
      expect(statusOf(answer)).toBe(413);
      expect(peakBytes).toBeLessThan(2 * FLAT_BYTES);
    }
  });
});
