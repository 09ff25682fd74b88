import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Shutdown } from './shutdown.js';

const ASK = 'GET / HTTP/1.1\r\nHost: here\r\n\r\n';
/** Longer than idle connections are left open. */
const ASLEEP_MS = 1_100;
const GRACE_MS = 5_000;

async function listening(shutdown: Shutdown): Promise<Server> {
  const server = createServer((_request, response) => {
    shutdown.requestBegan();
    response.on('close', () => shutdown.requestEnded());
    response.end('heard');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Asks at once; answers what the client was told, once its connection has ended. */
function asking(server: Server): { client: Socket; told: Promise<string> } {
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  let told = '';
  client.on('data', (data) => {
    told += data.toString();
  });
  client.write(ASK);
  const ended = new Promise<string>((resolve) => {
    client.on('error', (error) => resolve(String(error)));
    client.on('close', () => resolve(told));
  });
  return { client, told: ended };
}

/** The process stands still, as one that is not scheduled: the system alone goes on. */
function sleepFor(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

it('a request that arrived while the process slept is answered before its connection counts as idle', async () => {
  const shutdown = new Shutdown();
  const server = await listening(shutdown);
  const { client, told } = asking(server);
  await once(client, 'data');
  const drained = shutdown.drain(server, { delayMs: 0, graceMs: GRACE_MS });
  while (server.listening) await nextTurn();
  // Written at once to the system.
  client.write(ASK);
  sleepFor(ASLEEP_MS);
  await drained;
  expect((await told).match(/heard/g)).toHaveLength(2);
});

it('connections that were made within the delay while the process slept are all accepted before nobody listens any more', async () => {
  const shutdown = new Shutdown();
  const server = await listening(shutdown);
  const drained = shutdown.drain(server, { delayMs: 100, graceMs: GRACE_MS });
  const clients = Array.from({ length: 20 }, () => asking(server));
  // Behind the turn of the loop in which the system is asked to connect.
  process.nextTick(() => process.nextTick(() => sleepFor(200)));
  await drained;
  for (const { told } of clients) expect(await told).toContain('heard');
});

it('while others go on coming, those who wait are accepted for a moment and not until the grace is over', async () => {
  const shutdown = new Shutdown();
  const server = await listening(shutdown);
  const asked: Promise<string>[] = [];
  // A slow process, to which somebody comes in each of its turns.
  server.on('connection', () => {
    asked.push(asking(server).told);
    sleepFor(20);
  });
  const from = performance.now();
  const drained = shutdown.drain(server, { delayMs: 0, graceMs: GRACE_MS });
  asked.push(asking(server).told);
  while (server.listening) await nextTurn();
  expect(performance.now() - from).toBeLessThan(GRACE_MS / 2);
  await drained;
  await Promise.all(asked);
});

it('new connections are accepted until the delay is over, or the grace is', async () => {
  for (const [delayMs, graceMs] of [
    [300, GRACE_MS],
    [GRACE_MS, 300],
  ] as const) {
    const shutdown = new Shutdown();
    const server = await listening(shutdown);
    const from = performance.now();
    const drained = shutdown.drain(server, { delayMs, graceMs });
    while (server.listening) await nextTurn();
    const tookMs = performance.now() - from;
    expect(tookMs).toBeGreaterThan(290);
    expect(tookMs).toBeLessThan(GRACE_MS / 2);
    await drained;
  }
});
