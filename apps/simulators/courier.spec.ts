import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { newKey, secretOf } from '#platform/standard-webhooks.js';
import { COURIER_DEFAULTS, Courier, type CourierOptions } from './courier.js';

/** Fifty tries whose wait doubled each time would take longer than anybody lives. */
const MANY = 50;

let heard: string[];
let status: number;
let courier: Courier;
const server = createServer((request, response) => {
  heard.push(String(request.headers['webhook-id']));
  request.resume();
  response.writeHead(status).end();
});

beforeEach(async () => {
  [heard, status] = [[], 500];
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  courier.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function open(options: Partial<CourierOptions>): Courier {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  courier = new Courier(
    { url, secret: secretOf(newKey()) },
    { ...COURIER_DEFAULTS, backoffMs: 1, ...options },
    () => 0,
  );
  return courier;
}

test('what nobody takes is brought as often as is configured, at waits that stop growing, and then given up', async () => {
  const isTaken = await open({ attempts: MANY, longestBackoffMs: 2 }).bring({ id: 'a', body: {} });
  expect([isTaken, heard.length, courier.counts]).toEqual([false, MANY, { told: 0, failed: MANY, givenUp: 1 }]);
});

test('what waits is brought in the order of its time, and of what is of one time that first which came first', async () => {
  status = 204;
  const one = open({ concurrency: 1 });
  const all = await Promise.all([
    one.bring({ id: 'late', body: {} }, 60),
    one.bring({ id: 'first', body: {} }),
    one.bring({ id: 'second', body: {} }),
    one.bring({ id: 'third', body: {} }),
  ]);
  expect([all, heard]).toEqual([
    [true, true, true, true],
    ['first', 'second', 'third', 'late'],
  ]);
});

test('more than it has room for is refused', () => {
  const small = open({ capacity: 2, backoffMs: 60_000, longestBackoffMs: 60_000 });
  for (const id of ['a', 'b']) void small.bring({ id, body: {} });
  expect(() => small.bring({ id: 'c', body: {} })).toThrow('more than 2 messages wait');
});
