import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Charged } from '#limits/charge.js';
import { Limits } from '#limits/limits.js';
import { PRICES } from '#limits/prices.js';
import { generateApiKey } from '#tenancy/api-key.js';
import { readConfig } from '../apps/config.js';
import { type Answer, Client, type Json, type Merchant, OPERATOR_KEY, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { documentedRoutes } from './support/documented-requests.js';
import { commandsOf, curlRequest, sectionOf } from './support/shell.js';
import { until } from './support/until.js';

/** docs/limits.md: its prices and defaults are the code's, its lines work, and a refusal is what it says. */

const PAGE = readFileSync(new URL('../docs/limits.md', import.meta.url), 'utf8');
const THOUSAND = 1_000;

let api: TestApi;
let shop: Merchant;
const charged: Charged[] = [];
beforeAll(async () => {
  // What Redis is late with costs more, and is refused otherwise.
  api = await TestApi.start({ environment: { BALANCE_REDIS_TIMEOUT_MS: '5000', LIMIT_REDIS_TIMEOUT_MS: '1000' } });
  await Contract.hold(api);
  api.app.get(Limits).onCharged((one) => charged.push(one));
  shop = await api.merchant('EUR');
  await shop.open('from');
  await shop.open('to');
});
afterAll(() => api.stop());

/** What of a text does not differ from one refusal to another. */
const formOf = (text: string | null): string => (text ?? 'none').replace(/\d+/g, 'N');

async function limit(merchant: Merchant, plan: object): Promise<void> {
  const body = { units_per_second: 1, burst_units: 1_000, units_in_flight: 10_000, ...plan };
  const { status } = await api.operator.request('PUT', `/v1/merchants/${merchant.id}/limits`, { body });
  expect(status).toBe(200);
}

/** What the page shows of a refusal: its headers, and its body. */
const [, shownHead = '', shownBody = ''] = /```\nHTTP\/1\.1 429 [^\n]+\n(.*?)\n\n(.*?)```/s.exec(PAGE) ?? [];
const shownHeaders = shownHead.split('\n').map((line) => line.split(': ') as [string, string]);
const shown: Json = JSON.parse(shownBody);

function expectAsShown({ status, headers, body }: Answer): void {
  expect(status).toBe(429);
  for (const [name, value] of shownHeaders)
    expect(`${name}: ${formOf(headers.get(name))}`).toBe(`${name}: ${formOf(value)}`);
  expect({ ...body, detail: formOf(body.detail), trace_id: '…' }).toEqual({ ...shown, detail: formOf(shown.detail) });
}

describe('the page on limits', () => {
  test('has a row for each price, with what it is', () => {
    const [, table = ''] = PAGE.split(/\n\| price \|.*\n\|[-|]+\n/);
    const rows = (table.split('\n\n')[0] ?? '').split('\n').map((line) => line.slice(2, -2).split(' | '));
    const prices = Object.entries(PRICES).map(([name, { base, row, entry, kib }]) => [
      `\`${name}\``,
      ...[base, row, entry, kib].map((thousandths) => String(thousandths / THOUSAND)),
    ]);
    expect(rows.map((cells) => cells.slice(0, -1))).toEqual(prices);
  });

  test('says what the settings are where nobody sets them', () => {
    const config: Json = readConfig({ DATABASE_URL: api.on.ownerUrl });
    const field = (name: string) => name.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    const said = [...PAGE.matchAll(/\b(LIMIT_\w+)(?:, | \()([\d,]+)( s)?/g)].map(([, name = '', number = '', unit]) => [
      name,
      Number(number.replaceAll(',', '')) * (unit ? THOUSAND : 1),
    ]);
    expect(said.length).toBeGreaterThan(5);
    expect(said).toEqual(said.map(([name]) => [name, config[field(String(name))]]));
    const { limitBurstUnits: burst, limitUnitsPerSecond: perSecond, limitUnitsInFlight: inFlight } = config;
    const policy = `"units";q=${burst};w=${burst / perSecond}, "in-flight";q=${inFlight};qu="concurrent-requests"`;
    expect(Object.fromEntries(shownHeaders)['RateLimit-Policy']).toBe(policy);
    expect(shown.detail).toContain(`${perSecond} units a second`);
  });

  test('has lines that work, beside `npm start`', async () => {
    const merchant = await api.merchant('EUR');
    const variables = {
      URL: api.url,
      KEY: merchant.apiKey.secret,
      MERCHANT: merchant.id,
      OPERATOR_KEY,
    };
    const text = ['You met a 429', 'For operators'].map((heading) => sectionOf(PAGE, heading)).join('\n');
    const outcomes: [string, number][] = [];
    for (const words of commandsOf(text, variables, () => undefined)) {
      const { method, url, headers, body } = curlRequest(words);
      const raw = body === undefined ? {} : { raw: body };
      const answer = await new Client('', {}).request(method, url, { headers, ...raw });
      outcomes.push([`${method} ${new URL(url).pathname.replace(/\d{5,}/, ':id')}`, answer.status]);
    }
    expect(outcomes).toEqual([
      ['GET /v1/accounts', 200],
      ['GET /v1/usage', 200],
      ['GET /v1/usage', 200],
      ['GET /v1/merchants/:id/limits', 200],
      ['PUT /v1/merchants/:id/limits', 200],
      ['DELETE /v1/merchants/:id/limits', 204],
      ['GET /v1/usage', 200],
    ]);
  });

  test('tells what common requests come to', async () => {
    const costOf = async (ask: () => Promise<Answer>): Promise<number> => {
      charged.splice(0);
      expect((await ask()).status).toBeLessThan(300);
      return (await until('it is charged', () => charged[0])).actual;
    };
    const one = await costOf(() =>
      shop.client.post('/v1/transactions', { key: randomUUID(), body: transfer('from', 'to', '5') }),
    );
    expect(PAGE).toContain(`a posting of two entries comes to ${one} units`);
    const transactions = Array.from({ length: 100 }, () => transfer('from', 'to', '5'));
    const batch = await costOf(() =>
      shop.client.post('/v1/transactions/batch', { key: randomUUID(), body: { mode: 'independent', transactions } }),
    );
    expect(batch / (100 * one)).toBeGreaterThan(0.2);
    expect(batch / (100 * one)).toBeLessThan(0.24);
    const page = await costOf(() => shop.client.get('/v1/transactions?limit=100'));
    expect(Math.abs(page - Number(/a page of 100 transactions to about (\d+)/.exec(PAGE)?.[1]))).toBeLessThanOrEqual(1);
    const path = `/v1/accounts/${shop.accounts['cash:EUR']}/balance`;
    await shop.client.get(path);
    expect(PAGE).toContain(`a balance from the cache to ${await costOf(() => shop.client.get(path))};`);
  });
});

describe('whoever met a 429', () => {
  let poor: Merchant;
  beforeAll(async () => {
    poor = await api.merchant('EUR');
    await limit(poor, { burst_units: 10 });
    await until('it has nothing left', async () => (await poor.client.get('/v1/accounts?limit=5')).status === 429);
  });

  test('on any route is told what the page says, and nothing was written', async () => {
    const routes = documentedRoutes().filter(({ access }) => access === 'merchant');
    expect(routes.length).toBeGreaterThan(30);
    const before = await api.countRows();
    for (const { method, path, example, needsKey } of routes) {
      const filled = path.replace('{provider}', 'acme').replace(/\{\w+\}/g, poor.id);
      const ask = { ...(example && { body: example }), ...(needsKey && { key: randomUUID() }) };
      // A cached balance costs one unit, and one may have come back meanwhile.
      await until(`${method} ${filled} is refused`, async () => {
        const answer = await poor.client.request(method, filled, ask);
        if (answer.status !== 429 && /balance/.test(filled)) return false;
        expectAsShown(answer);
        return true;
      });
    }
    expect(await api.countRows()).toEqual(before);
  });

  test('for what is in flight is told that, in the same form', async () => {
    const busy = await api.merchant('EUR');
    await limit(busy, { units_per_second: 100_000, burst_units: 1_000_000, units_in_flight: 110 });
    const ask = () => busy.client.get('/v1/accounts?limit=1000');
    const refused = await until('one is refused', async () =>
      (await Promise.all(Array.from({ length: 8 }, ask))).find(({ status }) => status === 429),
    );
    expect(refused.body.detail).toContain('110 units in flight');
    expectAsShown({ ...refused, body: { ...refused.body, detail: shown.detail } });
  });

  test('before its key was known is told no limits of anybody', async () => {
    const strange = await TestApi.start({
      on: api.on,
      environment: { AUTH_FAILURES_BURST: '1', AUTH_FAILURES_PER_SECOND: '1' },
    });
    const ask = () => strange.withKey(generateApiKey(BigInt(shop.id))).get('/v1/accounts');
    const refused = await until('a key is refused', async () => {
      const answer = await ask();
      return answer.status === 429 ? answer : undefined;
    });
    expect(refused.body.code).toBe('rate_limited');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect([refused.headers.get('ratelimit'), refused.headers.get('ratelimit-policy')]).toEqual([null, null]);
    await strange.stop();
  });
});
