import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../scripts/ports.mjs';
import { type Merchant, TestApi, transfer, until } from './support/api.js';
import { liveBytes } from './support/live-bytes.js';
import { readingOf } from './support/metrics.js';

/** What clients who take nothing, or send ahead, hold in memory: as much as a setting says, whatever they ask for. */

const MIB = 1_048_576;
const CLIENTS = 40;
const UNSENT = 24 * MIB;
const PIPELINED = 8 * MIB;
/** Of the smallest requests one read of a socket brings 3,600, and they are in memory before the first is looked at. */
const ONE_READ = 9 * MIB;
/** What else the process, which is the clients' too, has more or less from one look to the next. */
const ELSEWHERE = 8 * MIB;

let api: TestApi;
let shop: Merchant;
let other: Merchant;
const sockets: Socket[] = [];
/** The server's ends of the connections. */
const accepted = new Set<Socket>();

beforeAll(async () => {
  api = await TestApi.start({
    environment: {
      METRICS_PORT: String(await freePort()),
      UNSENT_MERCHANT_LIMIT_BYTES: String(UNSENT),
      PIPELINED_LIMIT_BYTES: String(PIPELINED),
      REQUEST_DEADLINE_MS: '60000',
    },
  });
  api.app.getHttpServer().on('connection', (socket: Socket) => {
    accepted.add(socket);
    socket.once('close', () => accepted.delete(socket));
  });
  [shop, other] = [await api.merchant(), await api.merchant()];
  // 27 KB each: a page of accounts has a MiB, a log of them more than the kernel takes for a connection.
  const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`name-${index}`, 'x'.repeat(500)]));
  for (let index = 0; index < 40; index += 1) await shop.open(`wallet:${index}`, { metadata });
  const transactions = Array.from({ length: 200 }, () => transfer('cash:EUR', 'suspense:EUR', '1', { metadata }));
  for (let count = 0; count < 2; count += 1) {
    const body = { mode: 'atomic', transactions };
    expect((await shop.client.post('/v1/transactions/batch', { body, key: `fill-${count}` })).status).toBe(200);
  }
});
afterEach(async () => {
  await leave();
  expect(api.errors).toEqual([]);
});
afterAll(() => api.stop());

function head(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${shop.apiKey.secret}\r\n${more}\r\n`;
}

/** A connection that takes nothing of what it asks for. */
function absent(bytes: string): Socket {
  const { hostname, port } = new URL(api.url);
  const socket = connect(Number(port), hostname, () => socket.write(bytes)).pause();
  socket.on('error', () => undefined);
  sockets.push(socket);
  return socket;
}

async function leave(): Promise<void> {
  for (const socket of sockets.splice(0)) socket.destroy();
  await until(async () => accepted.size < CLIENTS / 2 && (await gauge('unsent_bytes')) === 0);
}

/** What is free in memory once the clients have gone. */
async function heldByClients(): Promise<number> {
  const beside = liveBytes();
  await leave();
  return beside - liveBytes();
}

/** Nothing more is written to anybody: each client has been given what the kernel takes for it. */
async function atRest(): Promise<void> {
  let [written, sinceMs] = [-1, 0];
  await until(() => {
    const now = [...accepted].reduce((sum, { bytesWritten }) => sum + bytesWritten, 0);
    if (now !== written) [written, sinceMs] = [now, performance.now()];
    return accepted.size >= CLIENTS && performance.now() - sinceMs > 1_000;
  }, 60_000);
}

async function gauge(name: string): Promise<number> {
  return readingOf(await api.metrics(), `counterfoil_http_${name}`) as number;
}

describe('answers that nobody takes', () => {
  test('are in memory once, as bytes, up to UNSENT_MERCHANT_LIMIT_BYTES', async () => {
    for (let count = 0; count < CLIENTS; count += 1) absent(head('/v1/accounts?limit=1000').repeat(15));
    await atRest();
    const held = await gauge('unsent_bytes');
    expect(held).toBeGreaterThan(UNSENT - 2 * MIB);
    expect(held).toBeLessThanOrEqual(UNSENT);
    expect((await other.client.get('/v1/accounts')).status).toBe(200);
    const inMemory = await heldByClients();
    expect(inMemory).toBeGreaterThan(held - ELSEWHERE);
    expect(inMemory).toBeLessThan(held + ELSEWHERE);
  });

  test('count while they are being compressed', async () => {
    const ask = () => shop.client.get('/v1/accounts?limit=1000', { headers: { 'accept-encoding': 'br' } });
    await until(async () => {
      const answers = Promise.all(Array.from({ length: 8 }, ask));
      let most = 0;
      const look = setInterval(() => gauge('unsent_bytes').then((bytes) => (most = Math.max(most, bytes))), 1);
      for (const { status } of await answers) expect(status).toBe(200);
      clearInterval(look);
      // Compressed, all of them have some kilobytes.
      return most > MIB / 2;
    });
    expect(await gauge('unsent_bytes')).toBe(0);
  });

  test('of a stream are one batch of 64 KiB, however long the log', async () => {
    const stream = head('/v1/events', 'Accept: text/event-stream\r\n');
    for (let count = 0; count < CLIENTS; count += 1) absent(stream);
    await atRest();
    // As events, as text and as bytes: one batch that is read, one that is written.
    const inMemory = await heldByClients();
    expect(inMemory).toBeLessThan(CLIENTS * 8 * 65_536);
  });
});

describe('requests that are sent ahead', () => {
  /** A request that waits for what does not come, and one read full of the smallest ones. */
  const ahead = (after: string, count: number) =>
    head(`/v1/events?after=${after}&wait_ms=30000`) + 'GET / HTTP/1.1\r\n\r\n'.repeat(count);
  const endOfLog = async () => {
    let after = '';
    for (let hasMore = true; hasMore; ) {
      const { body } = await shop.client.get(`/v1/events?limit=1000${after && `&after=${after}`}`);
      after = body.next_cursor;
      hasMore = body.has_more;
    }
    return after;
  };

  test('hold no more than PIPELINED_LIMIT_BYTES and what one read brings, on all connections', async () => {
    const after = await endOfLog();
    const before = liveBytes();
    let [most, peak, closed] = [0, 0, 0];
    for (let count = 0; count < CLIENTS; count += 1) {
      absent(ahead(after, 3_600))
        .once('close', () => (closed += 1))
        .resume();
      most = Math.max(most, await gauge('pipelined_bytes'));
      if (count % 5 === 4) peak = Math.max(peak, liveBytes() - before);
    }
    expect(most).toBeGreaterThan(PIPELINED / 2);
    expect(most).toBeLessThan(PIPELINED + ONE_READ);
    expect(peak).toBeLessThan(PIPELINED + ONE_READ + ELSEWHERE);
    await until(() => closed > CLIENTS - 5);
    expect((await other.client.get('/v1/accounts')).status).toBe(200);
  });

  test('hold nothing once they are answered, or gone', async () => {
    const after = await endOfLog();
    const gone = absent(ahead(after, 50));
    await until(async () => (await gauge('pipelined_bytes')) >= 50 * 2_048);
    gone.destroy();
    await until(async () => (await gauge('pipelined_bytes')) === 0);
    const last = head('/healthz').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n');
    await api.raw(head('/healthz').repeat(50) + last);
    expect(await gauge('pipelined_bytes')).toBe(0);
  });
});
