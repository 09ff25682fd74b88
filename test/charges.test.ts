import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Charged } from '#limits/charge.js';
import { Limits } from '#limits/limits.js';
import { PASSED_BY, PRICES } from '#limits/prices.js';
import { LogWatch } from '#outbox/log/log-watch.js';
import { CONTROLLERS } from '../apps/api/src/app.module.js';
import { routesOf } from '../apps/api/src/openapi.js';
import { type Ask, type Merchant, SYSTEM_ACCOUNTS, TestApi, transfer } from './support/api.js';
import { Bystander } from './support/bystander.js';
import { CutRequest } from './support/cut-request.js';
import { asAdmin } from './support/database.js';
import { EventSource } from './support/event-source.js';
import { ACME_SECRET, acmeEvent, acmeSigned, type Signed, unique } from './support/provider-senders.js';
import { until } from './support/until.js';
import { genericReport, upload } from './support/uploads.js';

let api: TestApi;
let shop: Merchant;
const charged: Charged[] = [];
const EVENT_WAIT_MS = 40_000;
beforeAll(async () => {
  api = await TestApi.start({
    environment: {
      REQUEST_DEADLINE_MS: '60000',
      EVENT_WAIT_MAX_MS: String(EVENT_WAIT_MS),
      // A balance that Redis is late with is the database's, and costs more.
      BALANCE_REDIS_TIMEOUT_MS: '5000',
    },
  });
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

/** Of eight streams that wait together. */
const LOOKS = 6;

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
    for (const [limit, estimate] of [
      ['', 15],
      ['?limit=0', 7],
      ['?limit=-1', 87],
      ['?limit=many', 87],
      ['?limit=1e9', 87],
    ] as const) {
      charged.splice(0);
      await shop.client.get(`/v1/accounts${limit}`);
      expect((await theCharge()).estimated, limit).toBe(estimate);
    }
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

  test('for each look of a stream that finds some, and once for all streams that share it', async () => {
    const { body } = await shop.client.get('/v1/events?limit=1000');
    expect(body.has_more).toBe(false);
    const watch = api.app.get(LogWatch, { strict: false });
    const wait = watch.wait.bind(watch);
    let waiting = 0;
    const waits = vi.spyOn(watch, 'wait').mockImplementation((...asked) => {
      waiting += 1;
      return wait(...asked).finally(() => {
        waiting -= 1;
      });
    });
    const query = `?after=${body.next_cursor}`;
    const streams = await Promise.all(Array.from({ length: 8 }, () => EventSource.open(api, shop, { query })));
    for (let n = 0; n < LOOKS; n += 1) {
      await until('all of them wait at the same place', () => waiting === streams.length);
      await shop.posted(transfer('from', 'to', '1'));
      await Promise.all(streams.map((stream) => stream.take(1)));
    }
    await until('they wait again', () => waiting === streams.length);
    waits.mockRestore();
    charged.splice(0);
    for (const stream of streams) stream.close();
    await until('all are charged', () => charged.length === streams.length);
    const units = charged.map(({ actual }) => actual);
    const spent = units.reduce((sum, one) => sum + one, 0);
    // There are more streams than looks: one at least has paid for none. Half a unit of each look is lost or won by rounding.
    const looks = (spent - Math.min(...units) * streams.length) / (PRICES.events.base / 1_000);
    expect(Math.round(looks)).toBe(LOOKS);
  });

  test('for the rows that were looked at, however few of them fit', async () => {
    await shop.client.post('/v1/transactions/batch', { key: randomUUID(), body: batchOf(800) });
    const [newest] = (await shop.client.get(`/v1/accounts/${shop.accounts.from}/entries?limit=1`)).body.data;
    await until('both are charged', () => charged.length === 2);
    const lists = [
      'transactions?type=nothing',
      `transactions?account_id=${shop.accounts.from}&type=nothing`,
      `accounts/${shop.accounts.from}/entries?effective_to=2026-01-01T00:00:00Z`,
    ];
    for (const list of lists) {
      charged.splice(0);
      const { body } = await shop.client.get(`/v1/${list}`);
      expect([body.data, body.has_more]).toEqual([[], false]);
      // Every transaction of the merchant has an entry there.
      const units = (PRICES.list.base + PASSED_BY * Number(newest.account_version)) / 1_000;
      expect((await theCharge()).actual).toBe(Math.round(units));
    }
  });

  test('for the attempts that deliveries are shown with', async () => {
    const endpoint = await shop.client.post('/v1/webhook_endpoints', {
      body: { url: 'https://example.com/', event_types: ['account.closed'] },
    });
    const { id } = endpoint.body;
    await asAdmin(api.on.ownerUrl, async (admin) => {
      const deliveries = `INSERT INTO webhook_deliveries (merchant_id, endpoint_id, id, event_xid, event_seq, event_type, status, attempts)
        SELECT $1, $2, n, '1', n, 'account.created', 'failed', 15 FROM generate_series(1, 10) n`;
      await admin.query(deliveries, [shop.id, id]);
      const attempts = `INSERT INTO webhook_attempts (merchant_id, delivery_id, attempt, at, status_code, duration_ms)
        SELECT $1, n, attempt, now(), 500, 1 FROM generate_series(1, 10) n, generate_series(1, 15) attempt`;
      await admin.query(attempts, [shop.id]);
    });
    await until('it is charged', () => charged.length > 0);
    charged.splice(0);
    const { text } = await shop.client.get(`/v1/webhook_endpoints/${id}/deliveries`);
    const { base, row, kib } = PRICES.list;
    const units = (base + row * (10 + 150) + (kib * Buffer.byteLength(text)) / 1_024) / 1_000;
    expect((await theCharge()).actual).toBe(Math.round(units));
  });

  test('for no time that it waited', async () => {
    const bystander = await Bystander.open(api.on);
    const isWaiting = `SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
      AND clock_timestamp() - query_start > interval '200 ms'`;
    try {
      for (const list of [
        'transactions?limit=10',
        'transactions?type=nothing',
        `accounts/${shop.accounts.from}/entries?effective_from=2026-01-01T00:00:00Z`,
        'payments?limit=10',
      ]) {
        charged.splice(0);
        await shop.client.get(`/v1/${list}`);
        const { actual } = await theCharge();
        charged.splice(0);
        await bystander.client.query('BEGIN; LOCK TABLE transactions, entries, payments');
        const answer = shop.client.get(`/v1/${list}`);
        await until('it has waited', async () => (await bystander.one<{ waiting: number }>(isWaiting)).waiting > 0);
        await bystander.release();
        expect((await answer).status).toBe(200);
        expect((await theCharge()).actual).toBe(actual);
      }
    } finally {
      await bystander.release();
      await bystander.close();
    }
  });

  test('for what is done after its client has gone, and until then', async () => {
    const bystander = await Bystander.open(api.on);
    const { budgets } = api.app.get(Limits);
    const budget = budgets.of(BigInt(shop.id), budgets.nowMs);
    try {
      await bystander.lockBalance(BigInt(shop.accounts.from as string));
      const body = JSON.stringify(batchOf(50));
      const headers = `Content-Type: application/json\r\nIdempotency-Key: cut\r\nContent-Length: ${body.length}\r\n\r\n`;
      const asked = await CutRequest.send(api, shop, 'POST /v1/transactions/batch', headers + body);
      await bystander.untilWaiting();
      await asked.cut();
      expect([charged.length, budget.inFlight > 50]).toEqual([0, true]);
      await bystander.release();
    } finally {
      await bystander.close();
    }
    expect((await theCharge()).actual).toBeGreaterThan(100);
    expect(budget.inFlight).toBe(0);
  });

  test('and is in flight no more where its client went before its key was known', async () => {
    const bystander = await Bystander.open(api.on);
    const { body } = await api.operator.post(`/v1/merchants/${shop.id}/api_keys`, { body: {} });
    charged.splice(0);
    try {
      await bystander.client.query('BEGIN; LOCK TABLE api_keys');
      const unknown = { client: api.withKey(body.secret) } as Merchant;
      const asked = await CutRequest.send(api, unknown, 'GET /v1/accounts', '\r\n');
      await until('its key is looked up', async () => (await bystander.waiting('counterfoil-api')).length > 0);
      await asked.cut();
      expect(charged.length).toBe(0);
    } finally {
      await bystander.release();
      await bystander.close();
    }
    expect(await theCharge()).toMatchObject({ merchantId: BigInt(shop.id), estimated: 15 });
    const { budgets } = api.app.get(Limits);
    expect(budgets.of(BigInt(shop.id), budgets.nowMs).inFlight).toBe(0);
  });

  test('when it would wait for events and its client went before it began to', async () => {
    const { next_cursor: after } = (await shop.client.get('/v1/events?limit=1000')).body;
    const bystander = await Bystander.open(api.on);
    charged.splice(0);
    try {
      await bystander.client.query('BEGIN; LOCK TABLE events');
      const asked = await CutRequest.send(api, shop, `GET /v1/events?after=${after}&wait_ms=60000`, '\r\n');
      await until('it looks', async () => (await bystander.waiting('counterfoil-api')).length > 0);
      await asked.cut();
      expect(charged.length).toBe(0);
    } finally {
      await bystander.release();
      await bystander.close();
    }
    await until('a charge', () => charged.length > 0, EVENT_WAIT_MS / 2);
  });

  test('for the bytes of its body that have come, whatever it says of their number', async () => {
    const post = (length: string, body: string) =>
      api.raw(
        `POST /v1/transactions HTTP/1.1\r\nHost: x\r\nAuthorization: ${shop.client.headers.authorization}\r\nContent-Type: application/json\r\nIdempotency-Key: a\r\nConnection: close\r\n${length}\r\n\r\n${body}`,
      );
    const body = JSON.stringify({ type: 'x'.repeat(200_000) });
    expect(await post(`Content-Length: ${body.length}`, body)).toMatch(/^HTTP\/1.1 422/);
    const { actual } = await theCharge();
    expect(actual).toBeGreaterThan(20);
    charged.splice(0);
    const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    expect(await post('Transfer-Encoding: chunked', chunk)).toMatch(/^HTTP\/1.1 422/);
    expect((await theCharge()).actual).toBe(actual);
    charged.splice(0);
    expect(await post('Content-Length: 18446744073709551614', '')).toMatch(/^HTTP\/1.1 413/);
    const refused = await theCharge();
    expect(refused.actual).toBe(2);
    expect(refused.estimated).toBeLessThan(20_000);
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

  test('for a report by its size', async () => {
    const units: number[] = [];
    for (const rows of [10, 5_000]) {
      charged.splice(0);
      const report = genericReport(rows, `of-${rows}`);
      expect((await upload(api, { merchantId: shop.id }, report)).status).toBe(202);
      const { price, byOperator, actual } = await theCharge();
      expect([price, byOperator]).toEqual(['upload', true]);
      const kib = report.length / 1_024;
      expect(actual).toBeGreaterThanOrEqual(Math.floor(10 + kib / 2));
      // Beside it its answer.
      expect(actual).toBeLessThanOrEqual(Math.ceil(10 + kib / 2) + 2);
      units.push(actual);
    }
    expect((units[1] as number) / (units[0] as number)).toBeGreaterThan(10);
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
