import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Charged } from '#limits/charge.js';
import { Limits } from '#limits/limits.js';
import { PRICES } from '#limits/prices.js';
import { CONTROLLERS } from '../apps/api/src/app.module.js';
import { routesOf } from '../apps/api/src/openapi.js';
import { type Ask, type Merchant, SYSTEM_ACCOUNTS, TestApi, transfer } from './support/api.js';
import { ACME_SECRET, acmeEvent, acmeSigned, type Signed, unique } from './support/provider-senders.js';
import { until } from './support/until.js';

let api: TestApi;
let shop: Merchant;
const charged: Charged[] = [];
beforeAll(async () => {
  api = await TestApi.start();
  api.app.get(Limits).onCharged((one) => charged.push(one));
  shop = await api.merchant('EUR');
  await shop.open('from');
  await shop.open('to');
});
afterAll(() => api.stop());
beforeEach(() => void charged.splice(0));

/** What the one request that was answered last was charged: told when its connection has taken the answer. */
async function theCharge(): Promise<Charged> {
  await until('a charge', () => charged.length > 0);
  expect(charged.length).toBe(1);
  return charged[0] as Charged;
}

const batchOf = (count: number) => ({
  mode: 'independent',
  transactions: Array.from({ length: count }, () => transfer('from', 'to', '5')),
});

describe('a request is charged', () => {
  test('by its route, for its merchant', async () => {
    await shop.client.get(`/v1/accounts/${shop.accounts['cash:EUR']}`);
    expect(await theCharge()).toMatchObject({
      merchantId: BigInt(shop.id),
      byOperator: false,
      method: 'GET',
      route: '/v1/accounts/:id',
      price: 'get',
      estimated: 7,
      actual: 7,
      refused: undefined,
    });
  });

  test('to an operator who acts for a merchant, and to the platform', async () => {
    await api.actingFor(shop.id).get('/v1/accounts?limit=1');
    expect(await theCharge()).toMatchObject({ merchantId: BigInt(shop.id), byOperator: true });
    charged.splice(0);
    await api.operator.get('/v1/merchants?limit=1');
    expect(await theCharge()).toMatchObject({ merchantId: undefined, byOperator: true });
  });

  test('for the entries that it wrote, and for none when it is repeated', async () => {
    const key = randomUUID();
    const path = '/v1/transactions/batch';
    await shop.client.post(path, { key, body: batchOf(50) });
    const first = await theCharge();
    expect(first.actual).toBeGreaterThan(100);
    expect(first.estimated / first.actual).toBeGreaterThan(0.5);
    expect(first.estimated / first.actual).toBeLessThan(2);
    charged.splice(0);
    await shop.client.post(path, { key, body: batchOf(50) });
    expect((await theCharge()).actual).toBeLessThan(first.actual / 4);
  });

  test('for the rows that it read, whatever was asked for', async () => {
    const { body } = await shop.client.get('/v1/accounts?limit=1000');
    expect(body.data.length).toBe(SYSTEM_ACCOUNTS + 2);
    const { estimated, actual } = await theCharge();
    expect(estimated).toBe(87);
    expect(actual).toBeGreaterThan(6);
    expect(actual).toBeLessThan(10);
  });

  test('for a balance that the database was asked for more than for one that it was not', async () => {
    const path = `/v1/accounts/${shop.accounts['cash:EUR']}/balance`;
    await shop.client.get(path);
    await theCharge();
    charged.splice(0);
    await shop.client.get(path);
    expect(await theCharge()).toMatchObject({ estimated: 1, actual: 1 });
    charged.splice(0);
    await shop.client.get(`${path}?consistency=strong`);
    expect((await theCharge()).actual).toBe(3);
    charged.splice(0);
    await shop.client.get(`${path}?at=2026-01-01T00:00:00Z`);
    expect((await theCharge()).actual).toBe(9);
  });

  test('for what a stream has told as for a page of the same', async () => {
    const { body } = await shop.client.get('/v1/events?limit=1000');
    const { actual } = await theCharge();
    charged.splice(0);
    const headers = { ...shop.client.headers, accept: 'text/event-stream' };
    const reader = (await fetch(`${api.url}/v1/events`, { headers })).body?.getReader();
    const decoder = new TextDecoder();
    let told = '';
    while ((told.match(/^data:/gm)?.length ?? 0) < body.data.length)
      told += decoder.decode((await reader?.read())?.value);
    await reader?.cancel();
    const streamed = await theCharge();
    expect(streamed.actual / actual).toBeGreaterThan(0.8);
    expect(streamed.actual / actual).toBeLessThan(1.5);
  });

  test('also when it is refused by what it asks, and not when nobody is known to ask', async () => {
    await shop.client.post('/v1/transactions', { key: randomUUID(), body: {} });
    expect(await theCharge()).toMatchObject({ price: 'posting', actual: 2 });
    charged.splice(0);
    await api.client({ authorization: 'Bearer cfm_nobody' }).get('/v1/accounts');
    await api.client().get('/v1/currencies');
    await shop.client.get('/v1/accounts?limit=1');
    expect(await theCharge()).toMatchObject({ route: '/v1/accounts' });
  });

  test('and refused before it reaches its route, where its key is known', async () => {
    for (const path of ['/v1/nowhere', '/v1/merchants', `/v1/accounts/${shop.accounts['cash:EUR']}?unknown=1`]) {
      charged.splice(0);
      await shop.client.get(path);
      expect(await theCharge()).toMatchObject({ merchantId: BigInt(shop.id), price: 'open', actual: 2 });
    }
  });

  const head = (path: string, authorization: string | undefined, ...lines: string[]) =>
    [`POST ${path} HTTP/1.1`, 'Host: x', `Authorization: ${authorization}`, ...lines, '\r\n'].join('\r\n');

  test('for what was read of its body, and not for what it announced', async () => {
    const start = ['Content-Type: application/json', `Idempotency-Key: ${randomUUID()}`];
    const { authorization } = shop.client.headers;
    const told = await api.raw(head('/v1/transactions', authorization, ...start, 'Content-Length: 100000000'));
    expect(told).toMatch(/^HTTP\/1\.1 413 /);
    expect(await theCharge()).toMatchObject({ price: 'posting', estimated: 12, actual: 2 });
    charged.splice(0);
    const long = Buffer.alloc(1_100_000, ' ');
    const chunk = Buffer.concat([Buffer.from(`${long.length.toString(16)}\r\n`), long, Buffer.from('\r\n')]);
    const untold = head('/v1/transactions', authorization, ...start, 'Transfer-Encoding: chunked');
    expect(await api.raw(Buffer.concat([Buffer.from(untold), chunk]))).toMatch(/^HTTP\/1\.1 413 /);
    expect((await theCharge()).actual).toBeGreaterThan(100);
  });

  test('for what came of an upload that broke off', async () => {
    const { authorization, ...more } = api.actingFor(shop.id).headers;
    const lines = [`Counterfoil-Merchant: ${more['counterfoil-merchant']}`, 'Content-Type: text/csv'];
    const start = head('/v1/reconciliations?source=generic', authorization, ...lines, 'Content-Length: 100000000');
    await api.raw(`${start}reference,object_ref\n`, { end: true });
    const { price, actual } = await theCharge();
    expect(price).toBe('upload');
    expect(actual).toBeLessThan(1_000);
  });
});

describe('what a provider sends is charged', () => {
  const send = (signed: Signed) =>
    api.client().request('POST', `/v1/providers/acme/merchants/${shop.id}/webhook`, signed as unknown as Ask);

  test('to its merchant, once its signature is known to be right', async () => {
    await shop.client.request('PUT', '/v1/providers/acme', { body: { webhook_secret: ACME_SECRET } });
    await theCharge();
    charged.splice(0);
    const forged = await send(acmeSigned(acmeEvent(unique()), { secret: `whsec_${'A'.repeat(44)}` }));
    const right = await send(acmeSigned(acmeEvent(unique())));
    expect([forged.status, right.status]).toEqual([401, 200]);
    const { actual, ...charge } = await theCharge();
    expect(charge).toMatchObject({ merchantId: BigInt(shop.id), byOperator: false, price: 'webhook', estimated: 0 });
    expect(actual).toBeGreaterThan(16);
  });
});

test('every price is that of a route', () => {
  const used = new Set(routesOf(CONTROLLERS).map(({ documentation }) => documentation?.price));
  expect([...used].sort()).toEqual(Object.keys(PRICES).sort());
});
