import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seedDemo } from '../scripts/demo.mjs';
import { type Answer, Client, type Json, OPERATOR_KEY, TestApi } from './support/api.js';
import { type CurlRequest, commandsOf, curlRequest, sectionOf } from './support/shell.js';
import { SimulatedProvider } from './support/simulated-provider.js';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

let api: TestApi;
let provider: SimulatedProvider;
let folder: string;
/** What `npm start` prints about the demo. */
let banner: string;
let demo: { id: string; key: string };

beforeAll(async () => {
  api = await TestApi.start();
  folder = mkdtempSync(join(tmpdir(), 'counterfoil-readme-'));
  provider = await SimulatedProvider.start();
  ({ banner } = await seedDemo({ url: api.url, operatorKey: OPERATOR_KEY, folder, simulator: provider.place }));
  const known: Record<string, typeof demo> = JSON.parse(readFileSync(join(folder, 'demo-keys.json'), 'utf8'));
  demo = Object.values(known)[0] ?? { id: '', key: '' };
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  provider.stop();
  await api.stop();
});

function send({ method, url, headers, body }: CurlRequest): Promise<Answer> {
  const { origin } = new URL(url);
  return new Client(origin, {}).request(method, url.slice(origin.length), {
    headers,
    ...(body !== undefined && { raw: body }),
  });
}

/**
 * Pastes commands one after another into a shell that knows `export` and `curl`. What the text leaves for the reader to fill
 * in (`<that id>`, `cfm_…`) comes from `fill`, which sees the answer before.
 */
async function paste(
  text: string,
  fill: Record<string, (last: Json) => string>,
): Promise<{ request: CurlRequest; answer: Answer }[]> {
  const variables: Record<string, string> = {};
  const exchanges: { request: CurlRequest; answer: Answer }[] = [];
  for (const words of commandsOf(text, variables, (name) => fill[name]?.(exchanges.at(-1)?.answer.body))) {
    // Programs beside a running service: test/start.test.ts and test/night-cli.test.ts have them.
    if (/^npm run (webhook-sink|night)\b/.test(words.join(' '))) continue;
    expect(words[0]).toBe('curl');
    const request = curlRequest(words);
    exchanges.push({ request, answer: await send(request) });
  }
  return exchanges;
}

describe('the README', () => {
  let exchanges: { request: CurlRequest; answer: Answer }[];

  beforeAll(async () => {
    exchanges = await paste(sectionOf(README, 'Ten minutes with it'), {
      KEY: (merchant) => merchant?.api_key?.secret ?? demo.key,
      URL: () => api.url,
      MERCHANT: () => demo.id,
      OPERATOR_KEY: () => OPERATOR_KEY,
      BOB: (accounts) => accounts.data[0].id,
      HOLD: (transaction) => transaction.id,
      PAYMENT: (told) => told.payment_id,
    });
  });

  test('leads through commands that all succeed, from a posting to a funded account of a merchant of one’s own', () => {
    const outcomes = exchanges.map(({ request, answer }) => [
      request.method,
      new URL(request.url).pathname.replace(/\d{5,}/, ':id'),
      answer.status,
    ]);
    expect(outcomes).toEqual([
      ['POST', '/v1/transactions', 201],
      ['GET', '/v1/accounts', 200],
      ['GET', '/v1/accounts/:id/balance', 200],
      ['GET', '/v1/accounts/:id/entries', 200],
      ['POST', '/v1/transactions', 201],
      ['POST', '/v1/transactions/:id/post', 201],
      ['POST', '/v1/provider_events', 202],
      ['POST', '/v1/provider_events', 202],
      ['GET', '/v1/payments/:id', 200],
      ['POST', '/v1/payments/:id/refund', 200],
      ['GET', '/v1/settlements', 200],
      ['GET', '/v1/payouts', 200],
      ['GET', '/v1/events', 200],
      ['POST', '/v1/merchants', 201],
      ['POST', '/v1/accounts', 201],
      ['POST', '/v1/transactions', 201],
      ['GET', '/v1/accounts', 200],
    ]);
    const [posted, accounts, balance, statement] = exchanges.map(({ answer }) => answer.body);
    const [own, funded, found] = exchanges.slice(-3).map(({ answer }) => answer.body);
    expect(found.data.map((account: Json) => account.code)).toEqual([own.code]);
    expect(funded.entries[1]).toMatchObject({ account_id: own.id, amount: '5000' });
    expect(posted.entries.map((entry: Json) => entry.amount)).toEqual(['1250', '1250']);
    expect(accounts.data.map((account: Json) => account.code)).toEqual(['wallet:bob']);
    expect(balance.version).toBe(posted.entries[1].account_version);
    expect(statement.data[0]).toMatchObject({ transaction_id: posted.id, posted_after: balance.posted.amount });
  });

  test('shows a payment that is told backwards', () => {
    const [capture, authorisation, payment, refunded] = exchanges.slice(6, 10).map(({ answer }) => answer.body);
    expect([capture.outcome, authorisation.outcome]).toEqual(['parked', 'applied']);
    expect(payment).toMatchObject({ status: 'captured', amount_captured: '4200' });
    expect(payment.timeline.map(({ outcome }: Json) => outcome)).toEqual(['applied', 'applied']);
    expect(refunded).toMatchObject({ id: payment.id, status: 'partially_refunded', amount_refunded: '1200' });
  });

  test('says truly what happens when the first command is sent again, or changed', async () => {
    const [{ request, answer }] = exchanges as [{ request: CurlRequest; answer: Answer }];
    const again = await send(request);
    expect([again.text, again.headers.get('idempotent-replayed')]).toEqual([answer.text, 'true']);
    const other = (body: (text: string) => string, headers = {}) =>
      send({ ...request, body: body(request.body ?? ''), headers: { ...request.headers, ...headers } });
    expect((await other((text) => text.replaceAll('1250', '1251'))).body.code).toBe('idempotency_key_reused');
    const more = await other((text) => text.replaceAll('1250', '99999999'), { 'idempotency-key': 'more' });
    expect(more.body.code).toBe('insufficient_funds');
  });

  test('names npm scripts and files that exist', () => {
    const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    const named = [...README.matchAll(/`npm run ([\w:-]+)/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(5);
    for (const name of named) expect(Object.keys(scripts)).toContain(name);
  });
});

test('the curl lines that npm start prints work when pasted', async () => {
  const exchanges = await paste(banner.slice(banner.indexOf('  export URL=')), {});
  expect(exchanges.map(({ answer }) => answer.status)).toEqual([201, 200, 200, 200]);
});

test('its row of load scenarios names each that there is', () => {
  const there = readdirSync(new URL('../k6', import.meta.url)).flatMap((file) => /^(.+)\.ts$/.exec(file)?.[1] ?? []);
  const [, named = ''] = /^\| `npm run k6 -- (.+?) \|/m.exec(README) ?? [];
  expect(named.split('/').map((name) => name.replaceAll('`', '').trim())).toEqual(expect.arrayContaining(there));
  expect(named.split('/')).toHaveLength(there.length);
});
