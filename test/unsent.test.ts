import { connect, type Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Json, type Merchant, TestApi, until, WITHOUT_BUDGETS } from './support/api.js';
import { liveBytes } from './support/live-bytes.js';

const MIB = 1_048_576;
const ACCOUNTS = 120;
/** What answers that nobody takes may hold in memory: UNSENT_MERCHANT_LIMIT_BYTES, and the pages in hand. A GiB is asked for. */
const FLAT_BYTES = 64 * MIB;

/** From the end of a look at memory to the next, so that the server has its turn however long one takes: on a machine at work, seconds. */
const LOOK_MS = 500;

let api: TestApi;
let shop: Merchant;
let other: Merchant;
const sockets: Socket[] = [];

beforeAll(async () => {
  api = await TestApi.start({ environment: { ...WITHOUT_BUDGETS, WRITE_TIMEOUT_MS: '1500', PIPELINE_LIMIT: '100' } });
  watch(api);
  [shop, other] = [await api.merchant(), await api.merchant()];
  const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`name-${index}`, 'x'.repeat(500)]));
  for (let index = 0; index < ACCOUNTS; index += 1) await shop.open(`wallet:${index}`, { metadata });
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  expect(api.errors).toEqual([]);
});
afterAll(() => api.stop());

const LIST = '/v1/accounts?limit=1000';

function request(path = LIST, of = shop): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${of.apiKey.secret}\r\n\r\n`;
}

/** A connection that takes nothing of what it asked for. */
function absent(bytes: string, on = api): Socket {
  const { hostname, port } = new URL(on.url);
  const socket = connect(Number(port), hostname, () => socket.write(bytes)).pause();
  socket.on('error', () => undefined);
  sockets.push(socket);
  return socket;
}

/** The server's ends of the connections, by the port of the client's. */
const accepted = new Map<number, Socket>();
function watch(on: TestApi): void {
  on.app.getHttpServer().on('connection', (socket: Socket) => accepted.set(socket.remotePort ?? 0, socket));
}

/** Until the server has cut it: a client that reads nothing may not see that, and one that does has no port any more. */
function isOver(client: Socket): Promise<void> {
  return until(() => client.destroyed || (accepted.get(client.localPort ?? 0)?.destroyed ?? false), 50_000);
}

/** The most memory that was in use beyond what was at first, while `work` goes on. */
async function peakOf(work: () => Promise<unknown>): Promise<number> {
  const atFirst = liveBytes();
  let peak = 0;
  const look = () => {
    peak = Math.max(peak, liveBytes() - atFirst);
    next = setTimeout(look, LOOK_MS);
  };
  let next = setTimeout(look, LOOK_MS);
  await work().finally(() => clearTimeout(next));
  return peak;
}

describe('pages', () => {
  test('end at about a MiB, whatever the limit, and lose nothing', async () => {
    const seen: string[] = [];
    let pages = 0;
    for (let cursor: string | null = ''; cursor !== null; pages += 1) {
      const { body, text } = await shop.client.get(`${LIST}&code_prefix=wallet:${cursor && `&cursor=${cursor}`}`);
      expect(text.length).toBeLessThan(1.1 * MIB);
      expect(body.has_more).toBe(body.next_cursor !== null);
      seen.push(...body.data.map((account: Json) => account.code));
      cursor = body.next_cursor;
    }
    expect(pages).toBeGreaterThan(2);
    expect(seen).toEqual(Array.from({ length: ACCOUNTS }, (_, index) => `wallet:${ACCOUNTS - 1 - index}`));
  });

  test('of events too', async () => {
    const read = async () => {
      const seen: string[] = [];
      let after = '';
      for (let hasMore = true; hasMore; ) {
        const { body, text } = await shop.client.get(`/v1/events?limit=1000${after && `&after=${after}`}`);
        expect(text.length).toBeLessThan(1.1 * MIB);
        seen.push(...body.data.map((event: Json) => event.id));
        after = body.next_cursor;
        hasMore = body.has_more;
      }
      expect(new Set(seen).size).toBe(seen.length);
      return seen.length;
    };
    // The log tells what is behind every transaction that is open, in whatever database.
    await until(async () => (await read()) >= ACCOUNTS);
  });

  test('hold one row however large it is', async () => {
    const narrow = await TestApi.start({ on: api.on, environment: { ...WITHOUT_BUDGETS, PAGE_LIMIT_BYTES: '1024' } });
    const { body } = await shop.via(narrow).client.get(`${LIST}&code_prefix=wallet:`);
    expect([body.data.length, body.has_more]).toEqual([1, true]);
    await narrow.stop();
  });
});

describe('answers that nobody takes', () => {
  test('leave memory flat, however many were asked for on a connection', async () => {
    const peak = await peakOf(async () => {
      const clients = Array.from({ length: 3 }, () => absent(request().repeat(500)));
      await Promise.all(clients.map(isOver));
    });
    expect(peak).toBeLessThan(FLAT_BYTES);
  });

  test('leave memory flat where they are taken slowly', async () => {
    const peak = await peakOf(async () => {
      const clients = Array.from({ length: 4 }, () => absent(request().repeat(50)));
      const sip = setInterval(() => {
        for (const client of clients) client.read(4_096);
      }, 10);
      await Promise.all(clients.map(isOver));
      clearInterval(sip);
    });
    expect(peak).toBeLessThan(FLAT_BYTES);
  });

  test('leave memory flat while requests keep coming', async () => {
    const peak = await peakOf(async () => {
      const flood = absent(request());
      const more = request('/healthz').repeat(1_000);
      let sent = 0;
      let isCut = false;
      const over = isOver(flood).then(() => (isCut = true));
      while (!isCut) {
        sent += more.length;
        if (!flood.write(more)) await Promise.race([over, new Promise((resolve) => flood.once('drain', resolve))]);
      }
      expect(sent).toBeLessThan(64 * MIB);
    });
    expect(peak).toBeLessThan(FLAT_BYTES);
  });

  test('cost the connection after a while, and nobody else anything', async () => {
    const startedMs = performance.now();
    const over = isOver(absent(request().repeat(20)));
    expect((await other.client.get('/v1/accounts')).status).toBe(200);
    await over;
    expect(performance.now() - startedMs).toBeGreaterThan(1_400);
  });

  test('are bounded for a merchant: more is refused until they are taken or cut', async () => {
    const tight = await TestApi.start({
      on: api.on,
      environment: { ...WITHOUT_BUDGETS, UNSENT_MERCHANT_LIMIT_BYTES: String(2 * MIB), WRITE_TIMEOUT_MS: '3000' },
    });
    for (let index = 0; index < 6; index += 1) absent(request().repeat(20), tight);
    const ask = (of: Merchant) => of.via(tight).client.get(LIST, { headers: { 'accept-encoding': 'identity' } });
    let refused: Awaited<ReturnType<typeof ask>> | undefined;
    await until(async () => {
      const answer = await ask(shop);
      if (answer.status !== 200) refused = answer;
      return refused !== undefined;
    });
    expect([refused?.status, refused?.body.code, refused?.headers.get('retry-after')]).toEqual([
      503,
      'overloaded',
      '1',
    ]);
    expect(refused?.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect((await ask(other)).status).toBe(200);
    await until(async () => (await ask(shop)).status === 200);
    await tight.stop();
  });

  test('are refused without a coding, though the answer was to have one', async () => {
    // The first answer alone is more than the merchant's limit: whatever is asked for beside it is refused.
    const tight = await TestApi.start({
      on: api.on,
      environment: { ...WITHOUT_BUDGETS, UNSENT_MERCHANT_LIMIT_BYTES: String(MIB), PAGE_LIMIT_BYTES: String(2 * MIB) },
    });
    absent(request().repeat(40), tight);
    const { client } = shop.via(tight);
    let refused: Answer | undefined;
    await until(async () => {
      const answer = await client.get(LIST, { headers: { 'accept-encoding': 'gzip' } });
      if (answer.status !== 200) refused = answer;
      else expect(answer.headers.get('content-encoding')).toBe('gzip');
      return refused !== undefined;
    });
    expect(refused?.headers.get('content-encoding')).toBeNull();
    expect(refused?.body).toMatchObject({ status: 503, code: 'overloaded' });
    await tight.stop();
  });
});

describe('requests that do not wait for the answer before', () => {
  const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);

  test('are answered in their order, one after another', async () => {
    const paths = Array.from({ length: 15 }, (_, index) => (index % 3 === 0 ? '/v1/nothing' : '/healthz'));
    const last = request('/v1/accounts/1').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n');
    const text = await api.raw(paths.map((path) => request(path)).join('') + last);
    expect(statuses(text)).toEqual([...paths.map((path) => (path === '/healthz' ? '200' : '404')), '404']);
  });

  test('a posting among them takes its body with it', async () => {
    const body = JSON.stringify({ code: 'piped', name: 'P', currency: 'EUR', normal_side: 'debit' });
    const post = `POST /v1/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${other.apiKey.secret}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
    const text = await api.raw(
      `${request('/healthz', other)}${post}\r\n${body}${request('/healthz', other)}${post}Connection: close\r\n\r\n${body}`,
    );
    expect(statuses(text)).toEqual(['200', '201', '200', '422']);
  });

  test('are answered up to PIPELINE_LIMIT, and then the connection is closed', async () => {
    const text = await api.raw(request('/healthz').repeat(400));
    expect(statuses(text).length).toBeGreaterThanOrEqual(101);
    expect(statuses(text).length).toBeLessThan(400);
    expect(text.match(/connection: close/gi)).toHaveLength(1);
    expect(text.lastIndexOf('onnection: close')).toBeGreaterThan(text.lastIndexOf('HTTP/1.1'));
  });
});

describe('compression', () => {
  const listed = async (path: string, encoding: string) => {
    const text = await api.raw(
      request(path).replace('\r\n\r\n', `\r\nAccept-Encoding: ${encoding}\r\nConnection: close\r\n\r\n`),
    );
    const [head = '', ...rest] = text.split('\r\n\r\n');
    return { head: head.toLowerCase(), bytes: Buffer.from(rest.join('\r\n\r\n'), 'latin1') };
  };

  test('a list is compressed when asked for', async () => {
    const plain = await listed(LIST, 'identity');
    const packed = await listed(LIST, 'gzip, deflate');
    expect(plain.head).not.toContain('content-encoding');
    expect(packed.head).toContain('content-encoding: gzip');
    for (const { head } of [plain, packed]) expect(head).toContain('vary: accept-encoding');
    expect(packed.bytes.length).toBeLessThan(plain.bytes.length / 10);
    expect(JSON.parse(gunzipSync(packed.bytes).toString())).toEqual(JSON.parse(plain.bytes.toString()));
    const brotli = await shop.client.get(LIST, { headers: { 'accept-encoding': 'br' } });
    expect(brotli.headers.get('content-encoding')).toBe('br');
    expect(brotli.body).toEqual(JSON.parse(plain.bytes.toString()));
  });

  test('the answer to a POST is not, however long: it may show a secret', async () => {
    const metadata = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`name-${index}`, 'x'.repeat(500)]));
    const body = { code: 'long', name: 'L', currency: 'EUR', normal_side: 'debit', metadata };
    const opened = await other.client.post('/v1/accounts', { body, headers: { 'accept-encoding': 'gzip, br' } });
    expect([opened.status, opened.headers.get('content-encoding')]).toEqual([201, null]);
    const { headers } = await other.client.get(`/v1/accounts/${opened.body.id}`, {
      headers: { 'accept-encoding': 'br' },
    });
    expect(headers.get('content-encoding')).toBe('br');
  });

  test('small answers, problems and streams are not', async () => {
    for (const path of ['/healthz', '/v1/accounts/1']) {
      expect((await listed(path, 'gzip')).head).not.toContain('content-encoding');
    }
    const stream = await fetch(`${api.url}/v1/events`, {
      headers: {
        authorization: `Bearer ${shop.apiKey.secret}`,
        accept: 'text/event-stream',
        'accept-encoding': 'gzip',
      },
    });
    expect(stream.headers.get('content-encoding')).toBeNull();
    await stream.body?.cancel();
  });
});
