import { request } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Database } from '#platform/postgres.js';
import { generateApiKey } from '#tenancy/api-key.js';
import { freePort } from '../scripts/ports.mjs';
import { type Answer, type Ask, type Merchant, TestApi } from './support/api.js';
import { ACME_SECRET, acmeEvent, acmeSigned } from './support/provider-senders.js';
import { until } from './support/until.js';

const BURST = 5;
/** All of 127/8 is this machine; who asks from another address of it is no proxy of ours. */
const PROXY = '127.0.0.1';
/** After so many seconds one more failure is let through: none of these tests lasts as long. */
const HEALS_S = 600;
const CACHE_MS = 50;

let api: TestApi;
let shop: Merchant;
let lookups: number;
let addresses = 0;

beforeAll(async () => {
  const environment = {
    TRUSTED_PROXIES: `${PROXY}/32`,
    AUTH_FAILURES_BURST: String(BURST),
    API_KEY_CACHE_MS: String(CACHE_MS),
    METRICS_PORT: String(await freePort()),
  };
  api = await TestApi.start({ environment, config: { authFailuresPerSecond: 1 / HEALS_S } });
  shop = await api.merchant();
  await shop.client.request('PUT', '/v1/providers/acme', { body: { webhook_secret: ACME_SECRET } });
  const database = api.app.get(Database);
  const read = database.read.bind(database);
  vi.spyOn(database, 'read').mockImplementation(((...args: Parameters<typeof read>) => {
    if (args[2].name === 'find-api-key') lookups += 1;
    return read(...args);
  }) as never);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  vi.restoreAllMocks();
  await api.stop();
});

/** One that nobody has come from yet. */
const address = (): string => {
  addresses += 1;
  return `198.51.100.${addresses}`;
};
const askFrom = (from: string, key: string): Promise<Answer> =>
  api.withKey(key).request('GET', '/v1/accounts', { headers: { 'x-forwarded-for': from } });
const forged = (): string => generateApiKey(BigInt(shop.id));
const statuses = (answers: Answer[]): number[] => answers.map(({ status }) => status).sort();
const countLookups = async (work: () => Promise<unknown>): Promise<number> => {
  lookups = 0;
  await work();
  return lookups;
};
const spend = (from: string): Promise<Answer[]> =>
  Promise.all(Array.from({ length: BURST }, () => askFrom(from, forged())));

describe('forged keys of an address', () => {
  test('are looked up so many times, however many come at once, and then refused unread', async () => {
    const from = address();
    let answers: Answer[] = [];
    const asked = await countLookups(async () => {
      answers = await Promise.all(Array.from({ length: 40 }, () => askFrom(from, forged())));
    });
    expect(asked).toBe(BURST);
    expect(statuses(answers)).toEqual([...Array(BURST).fill(401), ...Array(40 - BURST).fill(429)]);
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.body).toMatchObject({ code: 'rate_limited' });
    expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(HEALS_S - 60);
    expect(Number(refused?.headers.get('retry-after'))).toBeLessThanOrEqual(HEALS_S);
  });

  test('hinder no key that was valid before, nor anybody elsewhere', async () => {
    const from = address();
    const other = await api.merchant();
    expect((await askFrom(from, shop.apiKey.secret)).status).toBe(200);
    await spend(from);
    // Looked up anew: what the process knew of it is too old.
    const asked = await countLookups(() =>
      until('the key is looked up again', async () => {
        expect((await askFrom(from, shop.apiKey.secret)).status).toBe(200);
        return lookups > 0;
      }),
    );
    expect(asked).toBeGreaterThan(0);
    expect((await askFrom(from, forged())).status).toBe(429);
    expect((await askFrom(from, other.apiKey.secret)).status).toBe(429);
    expect((await askFrom(address(), other.apiKey.secret)).status).toBe(200);
  });

  test('are still refused as unknown once they are known to be', async () => {
    const key = forged();
    const from = address();
    const asked = await countLookups(async () => {
      for (let n = 0; n < 3; n += 1) expect((await askFrom(from, key)).status).toBe(401);
    });
    expect(asked).toBeLessThanOrEqual(3);
  });

  test('that are no keys at all cost nothing, and are no failures', async () => {
    const from = address();
    for (let n = 0; n < 3 * BURST; n += 1) expect((await askFrom(from, `cfm_${n}`)).status).toBe(401);
    expect((await askFrom(from, forged())).status).toBe(401);
  });
});

describe('whoever forges keys has them counted', () => {
  const asked = async (from: () => string): Promise<number> =>
    countLookups(() => Promise.all(Array.from({ length: 20 }, () => askFrom(from(), forged()))));

  test('for all of a network of 64 bits, and for no other', async () => {
    let host = 0;
    const within = (network: string) => () => {
      host += 1;
      return `${network}:${host.toString(16)}:1:2:3`;
    };
    expect(await asked(within('2001:db8:a:b'))).toBe(BURST);
    expect((await askFrom('2001:0DB8:000a:b::', forged())).status).toBe(429);
    expect(await asked(within('2001:db8:a:c'))).toBe(BURST);
  });

  test('for the address that the proxy tells, whatever was told to the proxy', async () => {
    const from = address();
    const invented = () => `${address()}, 10.0.0.1, ${PROXY}, not an address, ${from}`;
    expect(await asked(invented)).toBe(BURST);
    expect((await askFrom(`::ffff:${from}`, forged())).status, 'in other words').toBe(429);
  });

  test('for its connection’s address where that is no proxy of ours, whoever it says to ask for', async () => {
    const ask = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${forged()}`, 'x-forwarded-for': address() };
        request(`${api.url}/v1/accounts`, { localAddress: '127.0.0.9', headers, agent: false }, (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        })
          .on('error', reject)
          .end();
      });
    const answers = await Promise.all(Array.from({ length: 20 }, ask));
    expect(answers.sort()).toEqual([...Array(BURST).fill(401), ...Array(20 - BURST).fill(429)]);
  });
});

describe('webhooks of providers with a wrong signature', () => {
  const { raw, headers } = acmeSigned({ events: [acmeEvent('p-1')] });
  const send = (from: string, ask: Ask): Promise<Answer> =>
    api.client().request('POST', `/v1/providers/acme/merchants/${shop.id}/webhook`, {
      ...ask,
      headers: { ...ask.headers, 'x-forwarded-for': from },
    });
  const right: Ask = { raw: raw as string, headers };
  const wrong: Ask = { raw: `${raw} `, headers };

  test('are refused after so many of their address, before their body is read', async () => {
    const from = address();
    for (let n = 0; n < BURST; n += 1) expect((await send(from, wrong)).status).toBe(401);
    expect((await send(from, wrong)).body).toMatchObject({ code: 'rate_limited' });
    expect((await send(from, right)).status).toBe(429);
    expect((await send(address(), right)).status).toBe(200);
  });

  test('are the only ones that count', async () => {
    const from = address();
    for (let n = 0; n < 2 * BURST; n += 1) expect((await send(from, right)).status).toBe(200);
  });
});

test('metrics tell how many were valid, not valid, and refused', async () => {
  await spend(address());
  const metrics = await api.metrics();
  for (const line of [
    /^counterfoil_stranger_tries_total\{result="valid"\} [1-9]/m,
    /^counterfoil_stranger_tries_total\{result="not_valid"\} [1-9]/m,
    /^counterfoil_stranger_refusals_total\{by="address"\} [1-9]/m,
    /^counterfoil_stranger_refusals_total\{by="all"\} 0/m,
    /^counterfoil_stranger_lookups 0/m,
  ])
    expect(metrics).toMatch(line);
});
