import { randomUUID } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Merchant, TestApi, until, WITHOUT_BUDGETS } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { CutRequest } from './support/cut-request.js';

const MIB = 1_048_576;

let api: TestApi;
let shop: Merchant;
let other: Merchant;
const sockets: Socket[] = [];

beforeAll(async () => {
  api = await TestApi.start({
    environment: {
      ...WITHOUT_BUDGETS,
      BODIES_MERCHANT_LIMIT_BYTES: String(16 * MIB),
      BODIES_LIMIT_BYTES: String(24 * MIB),
    },
  });
  [shop, other] = [await api.merchant(), await api.merchant()];
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await until(async () => (await small(shop)) === 201);
});
afterAll(async () => {
  expect(api.errors).toEqual([]);
  await api.stop();
});

/** The head of a request whose body does not come, and the status that it is answered with all the same. */
function announced(
  of: Merchant,
  length: string,
  path = '/v1/transactions/batch',
): { status: () => string | undefined } {
  const { hostname, port } = new URL(api.url);
  let received = '';
  const socket = connect(Number(port), hostname, () =>
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${of.apiKey.secret}\r\nContent-Type: application/json\r\nIdempotency-Key: ${randomUUID()}\r\n${length}\r\n\r\n`,
    ),
  );
  socket.on('data', (chunk) => (received += chunk));
  socket.on('error', () => undefined);
  sockets.push(socket);
  return { status: () => /^HTTP\/1\.1 (\d+)/.exec(received)?.[1] };
}

async function small(of: Merchant): Promise<number> {
  const body = { code: `a:${randomUUID()}`, name: 'A', currency: 'EUR', normal_side: 'debit' };
  return (await of.client.post('/v1/accounts', { body })).status;
}

test('a merchant whose bodies are long in coming is refused more of them, and nobody else is', async () => {
  const bodies = Array.from({ length: 5 }, () => announced(shop, `Content-Length: ${4 * MIB}`));
  await until(() => bodies.some(({ status }) => status() === '503'));
  expect(bodies.filter(({ status }) => status() === undefined)).toHaveLength(4);
  expect(await small(shop)).toBe(503);
  expect(await small(other)).toBe(201);
  expect((await shop.client.get('/v1/accounts')).status).toBe(200);
});

test('a body without a length counts as the longest of its route', async () => {
  const bodies = Array.from({ length: 3 }, () => announced(shop, 'Transfer-Encoding: chunked'));
  await until(() => bodies.some(({ status }) => status() === '503'));
  expect(bodies.filter(({ status }) => status() === undefined)).toHaveLength(2);
});

test('all merchants together have a limit, beyond which each may still send one', async () => {
  const [first, second] = [await api.merchant(), await api.merchant()];
  const eager = [shop, shop, first, first].map((of) => announced(of, `Content-Length: ${8 * MIB}`));
  await until(() => eager.some(({ status }) => status() === '503'));
  expect(eager.filter(({ status }) => status() === undefined)).toHaveLength(3);
  expect(await small(second)).toBe(201);
});

test('what is too long is told so, and holds nothing', async () => {
  const tooLong = announced(shop, `Content-Length: ${9 * MIB}`);
  await until(() => tooLong.status() === '413');
  expect(await small(shop)).toBe(201);
});

test('a body whose client goes away while its key is looked up holds nothing', async () => {
  const fresh = await api.merchant();
  const bystander = await Bystander.open(api.on);
  const headers = 'Content-Type: application/json\r\nIdempotency-Key: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  try {
    await bystander.client.query('BEGIN; LOCK TABLE api_keys');
    const bodies = await Promise.all(
      [1, 2, 3].map(() => CutRequest.send(api, fresh, 'POST /v1/transactions/batch', headers)),
    );
    const waiting = `SELECT count(*)::int AS count FROM pg_locks WHERE relation = 'api_keys'::regclass AND NOT granted`;
    await until(async () => (await bystander.one<{ count: number }>(waiting)).count > 0);
    for (const body of bodies) await body.cut();
  } finally {
    await bystander.release();
    await bystander.close();
  }
  expect(await small(fresh)).toBe(201);
  expect((await fresh.client.get('/v1/accounts')).status).toBe(200);
});
