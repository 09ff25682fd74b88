import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Shutdown } from './shutdown.js';

const ASK = 'GET / HTTP/1.1\r\nHost: here\r\n\r\n';
/** Longer than idle connections are left open. */
const ASLEEP_MS = 1_100;

it('a request that arrived while the process slept is answered before its connection counts as idle', async () => {
  const shutdown = new Shutdown();
  const server = createServer((_request, response) => {
    shutdown.requestBegan();
    response.on('close', () => shutdown.requestEnded());
    response.end('heard');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  let told = '';
  client.on('data', (data) => {
    told += data.toString();
  });
  client.write(ASK);
  await once(client, 'data');
  const drained = shutdown.drain(server, { delayMs: 0, graceMs: 5_000 });
  while (server.listening) await nextTurn();
  // Written at once to the system; the process then stands still, as one that was not scheduled.
  client.write(ASK);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ASLEEP_MS);
  await drained;
  if (!client.closed) await once(client, 'close');
  expect(told.match(/heard/g)).toHaveLength(2);
});
