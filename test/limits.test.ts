import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Charged } from '#limits/charge.js';
import { Limits } from '#limits/limits.js';
import { type Answer, type Ask, type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { ACME_SECRET, acmeEvent, acmeSigned, type Signed, unique } from './support/provider-senders.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { until } from './support/until.js';

let on: TestDatabase;
let redis: PrivateRedis;
let api: TestApi;
let second: TestApi;
const charged: Charged[] = [];
beforeAll(async () => {
  [on, redis] = await Promise.all([freshDatabase(), privateRedis()]);
  // On a busy machine Redis may be late without being gone; what is then told as left is a share alone.
  const environment = { REDIS_URL: redis.url, LIMIT_PLAN_CACHE_MS: '100', LIMIT_REDIS_TIMEOUT_MS: '1000' };
  [api, second] = await Promise.all([TestApi.start({ on, environment }), TestApi.start({ on, environment })]);
  for (const one of [api, second]) one.app.get(Limits).onCharged((charge) => charged.push(charge));
});
afterAll(async () => {
  await Promise.all([api.stop(), second.stop()]);
  await redis.stop();
  await on.drop();
});

const LOOK = 7;

const limitsOf = ({ id }: Merchant) => `/v1/merchants/${id}/limits`;
const limitTo = (shop: Merchant, plan: object) =>
  api.operator.request('PUT', limitsOf(shop), {
    body: { units_per_second: 1, burst_units: 1_000, units_in_flight: 1_000, ...plan },
  });

/** A merchant with all of its burst, and accounts `from` and `to`. */
async function limited(plan: object): Promise<Merchant> {
  const shop = await api.merchant('EUR');
  await shop.open('from');
  await shop.open('to');
  await limitTo(shop, plan);
  return shop;
}

const post = ({ client }: Merchant, key: string = randomUUID()) =>
  client.post('/v1/transactions', { key, body: transfer('from', 'to', '5') });
/** LOOK units. */
const look = ({ client, accounts }: Merchant) => client.get(`/v1/accounts/${accounts['cash:EUR']}`);

/** Asks until it is refused; at most so often. */
async function exhaust(shop: Merchant, most = 500): Promise<Answer> {
  for (let asked = 0; asked < most; asked += 1) {
    const answer = await look(shop);
    if (answer.status !== 200) return answer;
  }
  throw new Error(`not refused in ${most} requests`);
}

describe('a merchant that has used its units', () => {
  test('is told so, what its limits are, and when to come again', async () => {
    const shop = await limited({ units_per_second: 2, burst_units: 30 });
    const refused = await exhaust(shop, 12);
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ code: 'rate_limited', status: 429 });
    expect(refused.body.detail).toMatch(/2 units a second.*estimated at 7/);
    expect(refused.headers.get('ratelimit-policy')).toBe(
      '"units";q=30;w=15, "in-flight";q=1000;qu="concurrent-requests"',
    );
    const [, left, window] =
      /^"units";r=(\d+);t=(\d+), "in-flight";r=1000$/.exec(refused.headers.get('ratelimit') ?? '') ?? [];
    expect(Number(left)).toBeLessThan(LOOK);
    expect(refused.headers.get('retry-after')).toBe(window);
    expect([1, 2, 3, 4]).toContain(Number(window));
  });

  test('is admitted again once there are some', async () => {
    const shop = await limited({ units_per_second: 20, burst_units: 30 });
    await exhaust(shop, 30);
    await until('it is admitted', async () => (await look(shop)).status === 200);
  });

  test('has burnt no idempotency key', async () => {
    const shop = await limited({ units_per_second: 20, burst_units: 30 });
    await exhaust(shop, 30);
    const key = randomUUID();
    const first = await post(shop, key);
    expect(first.status).toBe(429);
    const admitted = await until('it is admitted', async () => {
      const answer = await post(shop, key);
      return answer.status === 429 ? undefined : answer;
    });
    expect([admitted.status, admitted.headers.get('idempotent-replayed')]).toEqual([201, null]);
  });

  test('is refused before its body is sent, and its connection closed where that is long', async () => {
    const shop = await limited({ burst_units: 10 });
    await exhaust(shop, 12);
    const head = [
      'POST /v1/transactions/batch HTTP/1.1',
      'Host: x',
      `Authorization: ${shop.client.headers.authorization}`,
      'Content-Type: application/json',
      `Idempotency-Key: ${randomUUID()}`,
      'Content-Length: 5000000',
    ];
    expect(await api.raw(`${head.join('\r\n')}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 429 [\s\S]*connection: close/i);
    const patient = [...head, 'Expect: 100-continue'];
    expect(await api.raw(`${patient.join('\r\n')}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 429 /);
  });

  test('costs nothing more, and is counted by the limit that refused it', async () => {
    const shop = await limited({ burst_units: 10 });
    charged.splice(0);
    await exhaust(shop, 12);
    const refused = await until('it is counted', () => charged.find((one) => one.refused !== undefined));
    expect(refused).toMatchObject({ merchantId: BigInt(shop.id), actual: 0, estimated: LOOK, refused: 'units' });
  });

  test('does not hold up an operator who acts for it, nor another merchant', async () => {
    const [shop, neighbour] = [await limited({ burst_units: 10 }), await limited({})];
    await exhaust(shop, 12);
    const acting = await api.actingFor(shop.id).get('/v1/accounts?limit=1');
    expect([acting.status, acting.headers.get('ratelimit')]).toEqual([200, null]);
    expect((await look(neighbour)).status).toBe(200);
    expect((await look(shop)).status).toBe(429);
  });

  test('has used them in every process', async () => {
    const shop = await limited({ burst_units: 700 });
    const there = shop.via(second);
    let served = 0;
    for (let asked = 0; asked < 200; asked += 1) {
      const answers = await Promise.all([look(shop), look(there)]);
      served += answers.filter(({ status }) => status === 200).length;
    }
    // What is in hand at the end, and what comes back meanwhile.
    expect(served).toBeGreaterThanOrEqual(95);
    expect(served).toBeLessThan(110);
  });
});

describe('what is in flight', () => {
  const waiting = (shop: Merchant, via: TestApi) => {
    const from = shop.via(via);
    return from.client.post('/v1/transactions/batch', {
      key: randomUUID(),
      body: { mode: 'independent', transactions: Array.from({ length: 200 }, () => transfer('from', 'to', '5')) },
    });
  };

  test('is bounded, in all processes together, and one request is always served', async () => {
    const shop = await limited({ units_per_second: 100_000, burst_units: 1_000_000, units_in_flight: 300 });
    const answers = await Promise.all([1, 2, 3, 4].flatMap(() => [waiting(shop, api), waiting(shop, second)]));
    const statuses = answers.map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    const refused = answers.find(({ status }) => status === 429) as Answer;
    expect(refused.body.detail).toMatch(/300 units in flight/);
    expect(refused.headers.get('retry-after')).toBe('1');
    await until('another one is served', async () => (await waiting(shop, second)).status === 200);
  });

  test('has room for one that is larger than its merchant’s burst', async () => {
    const shop = await limited({ units_per_second: 1_000, burst_units: 20, units_in_flight: 4_000 });
    await until('it is served', async () => (await waiting(shop, api)).status === 200);
  });

  test('does not count who waits for events', async () => {
    const shop = await limited({ units_per_second: 1_000, burst_units: 10_000, units_in_flight: 20 });
    const { body } = await shop.client.get('/v1/events?limit=100');
    const polls = Array.from({ length: 10 }, () =>
      shop.client.get(`/v1/events?limit=100&after=${body.next_cursor}&wait_ms=1500`),
    );
    const seen = await Promise.race([
      until('they wait', async () => (await look(shop)).status === 200),
      Promise.all(polls),
    ]);
    expect(seen).toBe(true);
    const answers = await Promise.all(polls);
    expect(answers.some(({ status }) => status === 200)).toBe(true);
  });
});

describe('what a provider sends', () => {
  test('is taken ahead of its merchant’s own requests, until that owes units; then it is to be sent again', async () => {
    const shop = await limited({ units_per_second: 20, burst_units: 100 });
    await shop.client.request('PUT', '/v1/providers/acme', { body: { webhook_secret: ACME_SECRET } });
    const path = `/v1/providers/acme/merchants/${shop.id}/webhook`;
    const send = (signed: Signed) => api.client().request('POST', path, signed as unknown as Ask);
    await exhaust(shop);
    expect((await send(acmeSigned(acmeEvent(unique())))).status).toBe(200);
    const signed = acmeSigned(acmeEvent(unique()));
    const refused = await until('it owes some', async () => {
      const answer = await send(signed);
      return answer.status === 429 ? answer : undefined;
    });
    expect(refused.body.detail).toMatch(/20 units a second, and owes some/);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await look(shop)).status).toBe(429);
    await until('it is taken', async () => (await send(signed)).status === 200);
  });
});

describe('every answer to a merchant', () => {
  test('tells its limits and what is left of them, and no answer to others does', async () => {
    const shop = await limited({ burst_units: 1_000, units_in_flight: 500 });
    const { client, accounts } = shop;
    const answers = [
      await look(shop),
      await post(shop),
      await client.get('/v1/accounts/1'),
      await client.post('/v1/accounts', { body: {} }),
      await client.get(`/v1/accounts/${accounts['cash:EUR']}?unknown=1`),
      await client.get('/v1/merchants'),
      await client.get('/v1/accounts', { headers: { 'counterfoil-merchant': '1' } }),
      await client.get('/v1/nowhere'),
      await client.request('DELETE', '/v1/accounts'),
      await client.request('POST', '/v1/transactions', { raw: 'no JSON', headers: { 'content-type': 'text/plain' } }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 201, 404, 422, 422, 403, 404, 404, 405, 415]);
    for (const { headers } of answers) {
      expect(headers.get('ratelimit-policy')).toBe('"units";q=1000;w=1000, "in-flight";q=500;qu="concurrent-requests"');
      expect(headers.get('ratelimit')).toMatch(/^"units";r=9\d\d;t=\d+, "in-flight";r=4\d\d$/);
    }
    for (const { headers } of [
      await api.operator.get('/v1/merchants?limit=1'),
      await api.client().get('/v1/currencies'),
    ]) {
      expect([headers.get('ratelimit-policy'), headers.get('ratelimit')]).toEqual([null, null]);
    }
  });
});

describe('the limits of a merchant', () => {
  const DEFAULTS = {
    units_per_second: 100_000,
    burst_units: 200_000,
    units_in_flight: 20_000,
    weight: 1,
    source: 'default',
  };
  const OWN = { units_per_second: 5, burst_units: 10, units_in_flight: 20, weight: 3 };

  test('are everybody’s until it has its own, and again when those are taken away', async () => {
    const shop = await api.merchant('EUR');
    const told = async (): Promise<Json> => (await api.operator.get(limitsOf(shop))).body;
    expect(await told()).toEqual({ merchant_id: shop.id, ...DEFAULTS });
    const set = await limitTo(shop, OWN);
    expect([set.status, set.body]).toEqual([200, { merchant_id: shop.id, ...OWN, source: 'own' }]);
    expect(await told()).toEqual(set.body);
    for (const _ of [1, 2]) expect((await api.operator.request('DELETE', limitsOf(shop))).status).toBe(204);
    expect(await told()).toEqual({ merchant_id: shop.id, ...DEFAULTS });
  });

  test('hold at once where they are set, and soon everywhere', async () => {
    const shop = await limited({});
    await Promise.all([look(shop), look(shop.via(second))]);
    await limitTo(shop, OWN);
    expect((await look(shop)).headers.get('ratelimit-policy')).toMatch(/^"units";q=10;/);
    await until('the other process knows', async () =>
      /^"units";q=10;/.test((await look(shop.via(second))).headers.get('ratelimit-policy') ?? ''),
    );
  });

  test('hold in a process that hears of them first after they were lowered, whatever others have told Redis', async () => {
    const shop = await limited({ units_per_second: 10, burst_units: 100_000, units_in_flight: 10_000 });
    await look(shop);
    // Not through the process that has spent by the old ones: that one would tell Redis.
    await second.operator.request('PUT', limitsOf(shop), { body: { ...OWN, units_per_second: 1, burst_units: 30 } });
    const environment = { REDIS_URL: redis.url, LIMIT_REDIS_TIMEOUT_MS: '1000' };
    const third = await TestApi.start({ on, environment });
    try {
      const there = shop.via(third);
      // One after another: of many at once, all that come before its limits are found in the database are served.
      expect((await exhaust(there, 20)).headers.get('ratelimit-policy')).toMatch(/^"units";q=30;/);
    } finally {
      await third.stop();
    }
  });

  test('are whole numbers that make sense, of a merchant that is there, set by an operator', async () => {
    const shop = await api.merchant('EUR');
    for (const [field, value] of Object.entries({
      units_per_second: 0,
      burst_units: 1.5,
      units_in_flight: '7',
      weight: 101,
    })) {
      const refused = await limitTo(shop, { [field]: value });
      expect([refused.status, refused.body.errors[0].path]).toEqual([422, field]);
    }
    const nowhere = { id: '1' } as Merchant;
    const refused = [
      await limitTo(nowhere, {}),
      await api.operator.get(limitsOf(nowhere)),
      await api.operator.request('DELETE', limitsOf(nowhere)),
    ];
    expect(refused.map(({ status }) => status)).toEqual([404, 404, 404]);
    const own = await shop.client.request('PUT', limitsOf(shop), { body: OWN });
    expect(own.status).toBe(403);
  });
});

describe('while Redis', () => {
  test('is gone no request waits for it, and each process spends its share of what is left', async () => {
    const shop = await limited({ units_per_second: 1, burst_units: 700 });
    // Each learns that there are two.
    for (const via of [shop, shop.via(second), shop, shop.via(second)]) await look(via);
    await redis.crash(async () => {
      const served = async (via: Merchant) => {
        let count = 0;
        for (let asked = 0; asked < 100; asked += 1) count += Number((await look(via)).status === 200);
        return count;
      };
      const counts = await Promise.all([served(shop), served(shop.via(second))]);
      // For 96 of them in both together; what was in hand and what comes back with time aside.
      expect(counts[0] + counts[1]).toBeGreaterThan(76);
      expect(counts[0] + counts[1]).toBeLessThan(112);
    });
    // Nor is there a second burst when it is back, empty.
    const after = await Promise.all([exhaust(shop, 30), exhaust(shop.via(second), 30)]);
    expect(after.map(({ status }) => status)).toEqual([429, 429]);
  });

  test('hangs no request fails', async () => {
    const shop = await limited({ units_per_second: 1_000, burst_units: 10_000 });
    await look(shop);
    redis.signal('SIGSTOP');
    try {
      const statuses = new Set<number>();
      for (let asked = 0; asked < 50; asked += 1) statuses.add((await look(shop)).status);
      expect([...statuses]).toEqual([200]);
    } finally {
      redis.signal('SIGCONT');
    }
  });
});
