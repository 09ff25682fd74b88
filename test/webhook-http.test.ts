import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PublicHttp, type PublicHttpOptions, RequestAborted, RequestFailed } from '#platform/public-http.js';
import { HOOKS_TEST_CERTIFICATE, HOOKS_TEST_KEY } from './support/hooks-test-certificate.js';
import { NameServer } from './support/name-server.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';

const MESSAGE = { headers: { 'content-type': 'application/json', 'webhook-id': 'evt_1_1' }, body: '{"n":1}' };

/** Long enough that only the one under test can end a request. */
const client = (more: Partial<PublicHttpOptions> = {}): PublicHttp =>
  new PublicHttp({
    allowLoopback: true,
    refusedNetworks: ['168.63.129.16/32', '2606:4700::/32'],
    connectTimeoutMs: 20_000,
    headersTimeoutMs: 20_000,
    timeoutMs: 20_000,
    responseBytes: 64,
    ...more,
  });

const failureOf = async (answer: Promise<unknown>): Promise<string> => {
  const error = await answer.then(
    (value) => new Error(`answered ${JSON.stringify(value)}`),
    (cause) => cause,
  );
  if (!(error instanceof RequestFailed)) throw error;
  return error.message;
};

/** Speaks bytes, not HTTP. */
async function rawServer(onConnection: (socket: Socket) => void, port = 0, host = '127.0.0.1'): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    // What is left unread would be answered by a reset that overtakes the answer.
    socket.resume();
    onConnection(socket);
  });
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

describe('a request to a sink', () => {
  let sink: WebhookSink;
  beforeEach(async () => {
    sink = await WebhookSink.open();
  });
  afterEach(() => sink.close());

  test('is a POST with its headers and body, and gives the answer', async () => {
    sink.respond = status(202, { 'retry-after': '7' }, 'thanks');
    const answer = await client().post(sink.url, MESSAGE);
    expect(answer).toEqual({ statusCode: 202, retryAfter: '7', body: 'thanks' });
    expect(sink.received).toMatchObject([{ path: '/hooks', id: 'evt_1_1', text: '{"n":1}' }]);
    expect(sink.received[0]?.headers).toMatchObject({ connection: 'close', host: new URL(sink.url).host });
  });

  test('is a GET where something is asked for, with its headers and without a body', async () => {
    sink.respond = status(200, {}, '{"events":[]}');
    const answer = await client().get(sink.url, { headers: { authorization: 'Bearer t' } });
    expect(answer).toMatchObject({ statusCode: 200, body: '{"events":[]}' });
    expect(sink.received).toMatchObject([{ path: '/hooks', text: '' }]);
    expect(sink.received[0]?.headers).toMatchObject({ authorization: 'Bearer t', connection: 'close' });
    expect(sink.received[0]?.headers).not.toHaveProperty('content-length');
  });

  test.each([301, 302, 303, 307, 308])('a %i is not followed', async (code) => {
    const other = await WebhookSink.open();
    sink.respond = status(code, { location: other.url });
    expect(await client().post(sink.url, MESSAGE)).toMatchObject({ statusCode: code });
    expect(other.received).toEqual([]);
    await other.close();
  });

  test('reads as much of an answer as it is told, and no more', async () => {
    let written = 0;
    sink.respond = (response) => {
      response.writeHead(200);
      const chunk = 'x'.repeat(65_536);
      const more = (): void => {
        while (!response.destroyed) {
          written += chunk.length;
          if (!response.write(chunk)) {
            response.once('drain', more);
            return;
          }
        }
      };
      more();
    };
    const { body } = await client().post(sink.url, MESSAGE);
    expect(body).toBe('x'.repeat(64));
    expect(written).toBeLessThan(50_000_000);
  });

  test('makes bytes that PostgreSQL would refuse storable', async () => {
    sink.respond = (response) => void response.writeHead(200).end(Buffer.from([0x61, 0, 0xff, 0x62]));
    expect((await client().post(sink.url, MESSAGE)).body).toBe('a��b');
  });

  test('an answer that never begins ends with the deadline for headers', async () => {
    sink.respond = () => undefined;
    expect(await failureOf(client({ headersTimeoutMs: 50 }).post(sink.url, MESSAGE))).toBe('headers_timeout');
  });

  test('an answer that never begins ends with the whole deadline', async () => {
    sink.respond = () => undefined;
    expect(await failureOf(client({ timeoutMs: 1_500 }).post(sink.url, MESSAGE))).toBe('timeout');
  });

  test('an answer that drips is what has come of it by the whole deadline', async () => {
    sink.respond = (response) => {
      response.writeHead(200).write('some');
    };
    expect(await client({ timeoutMs: 2_000 }).post(sink.url, MESSAGE)).toMatchObject({ statusCode: 200, body: 'some' });
  });

  test('an answer whose body breaks off has its status all the same', async () => {
    sink.respond = (response) => {
      response.writeHead(200, { 'content-length': '10' }).write('some', () => response.destroy());
    };
    expect(await client().post(sink.url, MESSAGE)).toMatchObject({ statusCode: 200, body: 'some' });
  });

  test('a connection that is dropped is a failure', async () => {
    sink.respond = (response) => response.destroy();
    expect(await failureOf(client().post(sink.url, MESSAGE))).toBe('connection_failed: ECONNRESET');
  });

  test('a request that nobody waits for any more is aborted', async () => {
    sink.respond = () => undefined;
    const abort = new AbortController();
    const posted = client().post(sink.url, MESSAGE, abort.signal);
    await until('it has arrived', () => sink.received.length === 1);
    abort.abort();
    await expect(posted).rejects.toBeInstanceOf(RequestAborted);
    await expect(client().post(sink.url, MESSAGE, abort.signal)).rejects.toBeInstanceOf(RequestAborted);
  });

  test('proxies of the environment are not asked', async () => {
    const proxy = await WebhookSink.open();
    const names = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'NODE_USE_ENV_PROXY'];
    for (const name of names) process.env[name] = name === 'NODE_USE_ENV_PROXY' ? '1' : proxy.url;
    try {
      expect(await client().post(sink.url, MESSAGE)).toMatchObject({ statusCode: 200 });
    } finally {
      for (const name of names) delete process.env[name];
    }
    expect([sink.received.length, proxy.received.length]).toEqual([1, 0]);
    await proxy.close();
  });

  test('without WEBHOOK_ALLOW_LOOPBACK this machine is refused, in every form', async () => {
    const { port } = new URL(sink.url);
    const forms = ['127.0.0.1', 'localhost', '2130706433', '0x7f.1', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0'];
    for (const form of forms) {
      for (const scheme of ['http', 'https']) {
        const target = `${scheme}://${form}:${port}/`;
        expect([target, await failureOf(client({ allowLoopback: false }).post(target, MESSAGE))]).toEqual([
          target,
          'address_refused',
        ]);
      }
    }
    expect(sink.received).toEqual([]);
  });

  test('with it, localhost is this machine', async () => {
    const { port } = new URL(sink.url);
    expect(await client().post(`http://localhost:${port}/`, MESSAGE)).toMatchObject({ statusCode: 200 });
  });
});

describe('a server that speaks no HTTP', () => {
  test.each([
    ['nothing at all', '', ': ECONNRESET'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.9\r\n', ': HPE_INVALID_CONSTANT'],
    ['headers without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`, ': HPE_HEADER_OVERFLOW'],
    ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n', ''],
  ])('is a failure: %s', async (_what, bytes, code) => {
    const server = await rawServer((socket) => socket.end(bytes));
    const failure = await failureOf(client().post(`http://127.0.0.1:${portOf(server)}/`, MESSAGE));
    expect(failure).toBe(`connection_failed${code}`);
    server.close();
  });

  test('is a failure: nobody listens', async () => {
    const server = await rawServer(() => undefined);
    const port = portOf(server);
    server.close();
    await once(server, 'close');
    expect(await failureOf(client().post(`http://127.0.0.1:${port}/`, MESSAGE))).toBe(
      'connection_failed: ECONNREFUSED',
    );
  });

  test('is a failure: a TLS handshake that never ends, within the deadline for connecting', async () => {
    const sockets: Socket[] = [];
    const server = await rawServer((socket) => sockets.push(socket));
    const failure = await failureOf(
      client({ connectTimeoutMs: 100 }).post(`https://127.0.0.1:${portOf(server)}/`, MESSAGE),
    );
    expect(failure).toBe('connect_timeout');
    for (const socket of sockets) socket.destroy();
    server.close();
  });
});

describe('names', () => {
  let names: NameServer;
  let server: ReturnType<typeof createHttpsServer>;
  const seen: { servername: unknown; host: string | undefined; to: string | undefined }[] = [];
  let url: string;

  beforeAll(async () => {
    server = createHttpsServer({ cert: HOOKS_TEST_CERTIFICATE, key: HOOKS_TEST_KEY }, (request, response) => {
      const { servername, localAddress } = request.socket as TLSSocket & { servername?: unknown };
      seen.push({ servername, host: request.headers.host, to: localAddress });
      response.end();
    });
    // All of 127.0.0.0/8, so that the test sees which of its addresses was called.
    server.listen(0, '0.0.0.0');
    await once(server, 'listening');
    url = `https://hooks.test:${(server.address() as AddressInfo).port}/`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(async () => {
    names = await NameServer.open();
    seen.length = 0;
  });
  afterEach(() => names.close());

  const named = (more: Partial<PublicHttpOptions> = {}): PublicHttp =>
    client({ resolver: () => names.resolver(), ca: HOOKS_TEST_CERTIFICATE, ...more });

  test('are looked up once, and what was checked is what is called, under the name', async () => {
    // A name server that says something else every time it is asked: rebinding.
    let answers = 0;
    names.answer = () => {
      answers += 1;
      return [answers <= 2 ? '127.0.0.7' : '127.0.0.8'];
    };
    expect(await named().post(url, MESSAGE)).toMatchObject({ statusCode: 200 });
    expect(seen).toEqual([{ servername: 'hooks.test', host: new URL(url).host, to: '127.0.0.7' }]);
    expect(names.asked.sort()).toEqual(['A hooks.test', 'AAAA hooks.test']);
  });

  test.each([
    ['loopback', ['127.0.0.7']],
    ['loopback of IPv6', ['::1']],
    ['unspecified', ['0.0.0.0']],
    ['private', ['10.0.0.1']],
    ['cloud metadata', ['169.254.169.254']],
    ['carrier-grade NAT', ['100.100.100.200']],
    ['mapped loopback', ['::ffff:7f00:7']],
    ['translated loopback', ['64:ff9b::7f00:7']],
    ['6to4', ['2002:7f00:7::']],
    ['a network that the settings refuse', ['168.63.129.16']],
    ['a public one and one that the settings refuse', ['1.1.1.1', '2606:4700::7']],
    ['unique local', ['fd00::7']],
    ['a public one and loopback', ['1.1.1.1', '127.0.0.7']],
    ['loopback and a public one', ['127.0.0.7', '1.1.1.1']],
    ['a public one and loopback of IPv6', ['1.1.1.1', '::1']],
    ['a public one of IPv6 and a private one', ['2a00:1450:4001::1', '192.168.0.1']],
  ])('that lead to %s are refused before anything is connected to', async (_what, addresses) => {
    names.answer = () => addresses;
    expect(await failureOf(named({ allowLoopback: false }).post(url, MESSAGE))).toBe('address_refused');
    expect(seen).toEqual([]);
    expect(names.asked).toHaveLength(2);
  });

  test('that lead to this machine are called where that is allowed, but never without TLS', async () => {
    names.answer = () => ['127.0.0.7'];
    expect(await named().post(url, MESSAGE)).toMatchObject({ statusCode: 200 });
    expect(await failureOf(named().post(url.replace('https', 'http'), MESSAGE))).toBe('address_refused');
    names.answer = () => ['10.0.0.1'];
    expect(await failureOf(named().post(url, MESSAGE))).toBe('address_refused');
  });

  test('that no server knows are a failure', async () => {
    expect(await failureOf(named().post(url, MESSAGE))).toBe('dns_failed');
    names.answer = () => [];
    expect(await failureOf(named().post(url, MESSAGE))).toBe('dns_failed');
  });

  test('that no server answers for are a failure within the deadline for connecting', async () => {
    names.answer = () => 'silence';
    expect(await failureOf(named({ connectTimeoutMs: 100 }).post(url, MESSAGE))).toBe('dns_timeout');
  });

  test('of localhost are never asked for', async () => {
    names.answer = () => ['1.1.1.1'];
    const sink = await WebhookSink.open();
    expect(await named().post(sink.url.replace('127.0.0.1', 'shop.localhost'), MESSAGE)).toMatchObject({
      statusCode: 200,
    });
    expect(names.asked).toEqual([]);
    await sink.close();
  });

  test('have to be in the certificate, whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
    names.answer = () => ['127.0.0.7'];
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      expect(await failureOf(named().post(url.replace('hooks.', 'other.'), MESSAGE))).toBe(
        'connection_failed: ERR_TLS_CERT_ALTNAME_INVALID',
      );
      // Without the authority that the tests trust.
      const untrusting = client({ resolver: () => names.resolver() });
      expect(await failureOf(untrusting.post(url, MESSAGE))).toBe('connection_failed: DEPTH_ZERO_SELF_SIGNED_CERT');
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
    expect(seen).toEqual([]);
  });
});
