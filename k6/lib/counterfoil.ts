import { check, fail, sleep } from 'k6';
import http, { type RefinedResponse } from 'k6/http';
import { Counter } from 'k6/metrics';

/** Where the service is and the platform's key; `npm run k6` fills both in from a running `npm start`. */
export const URL = setting('COUNTERFOIL_URL');
const OPERATOR_KEY = setting('COUNTERFOIL_OPERATOR_KEY');

export function setting(name: string): string {
  const value = __ENV[name];
  if (!value) throw new Error(`${name} is not set: run this with \`npm run k6\``);
  return value;
}

export const acknowledged = new Counter('postings_acknowledged');
export const verified = new Counter('postings_verified');
/** Anything that a ledger must never do. Every scenario has the threshold `count==0` on it. */
export const broken = new Counter('ledger_broken');

export interface Merchant {
  id: string;
  key: string;
}

export interface Transfer {
  merchant: Merchant;
  ref: string;
  from: string;
  to: string;
  amount: number;
}

export function headers(key: string, idempotencyKey?: string): Record<string, string> {
  const base = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
  return idempotencyKey === undefined ? base : { ...base, 'Idempotency-Key': idempotencyKey };
}

function expect<T>(response: RefinedResponse<'text'>, status: number, what: string): T {
  if (response.status !== status) fail(`${what} was answered ${response.status}: ${response.body}`);
  return response.json() as T;
}

/** A merchant of this run's own with `wallets` accounts (no floor, so that every order of transfers is legal). */
export function openMerchant(name: string, wallets: number, currencies = ['EUR'], feePlanId?: string): Merchant {
  const body = {
    name,
    time_zone: 'UTC',
    settlement_cutoff: '00:00',
    currencies,
    ...(feePlanId && { fee_plan_id: feePlanId }),
  };
  const { id, api_key } = operatorPost<{ id: string; api_key: { secret: string } }>('/v1/merchants', body, 201);
  const key = api_key.secret;
  for (let n = 0; n < wallets; n += 1) {
    const account = JSON.stringify({
      code: `wallet:${n}`,
      name: `Wallet ${n}`,
      currency: 'EUR',
      normal_side: 'credit',
    });
    const opened = http.post(`${URL}/v1/accounts`, account, {
      headers: headers(key),
      tags: { name: 'POST /accounts' },
    });
    expect(opened, 201, 'POST /accounts');
  }
  return { id, key };
}

/** What sends one transfer. The same transfer has the same key, so it may be sent any number of times. */
export function transferRequest({ merchant, ref, from, to, amount }: Transfer) {
  const entry = { amount: String(amount), currency: 'EUR' };
  const entries = [
    { account_code: from, direction: 'debit', ...entry },
    { account_code: to, direction: 'credit', ...entry },
  ];
  const body = JSON.stringify({ type: 'transfer', external_ref: ref, entries });
  const params = { headers: headers(merchant.key, ref), tags: { name: 'POST /transactions' } };
  return { url: `${URL}/v1/transactions`, body, params };
}

export function postTransfer(transfer: Transfer): RefinedResponse<'text'> {
  const { url, body, params } = transferRequest(transfer);
  return http.post(url, body, params);
}

/** A request that came to nothing is sent again with the same key, as a client should, this often. */
const ATTEMPTS = 5;

export function postUntilAnswered(transfer: Transfer): RefinedResponse<'text'> {
  let answer = postTransfer(transfer);
  for (let attempt = 1; isPassing(answer.status) && attempt < ATTEMPTS; attempt += 1) {
    sleep(0.05 * attempt);
    answer = postTransfer(transfer);
  }
  return answer;
}

/** 0 is a connection that broke; the others say themselves that a retry with the same key is right. */
function isPassing(status: number): boolean {
  return status === 0 || status === 429 || status === 503 || status === 504;
}

/** As the operator, who acts for nobody. */
export function operatorGet<T>(path: string, name: string): T {
  return expect<T>(http.get(`${URL}${path}`, { headers: headers(OPERATOR_KEY), tags: { name } }), 200, name);
}

/** `status`: that of success. */
export function operatorPost<T>(path: string, body: object, status: number): T {
  const params = { headers: headers(OPERATOR_KEY), tags: { name: `POST ${path.slice(3)}` } };
  return expect<T>(http.post(`${URL}${path}`, JSON.stringify(body), params), status, `POST ${path}`);
}

export function operatorPut(path: string, body: object): void {
  const params = { headers: headers(OPERATOR_KEY), tags: { name: `PUT ${path.slice(3)}` } };
  expect(http.put(`${URL}${path}`, JSON.stringify(body), params), 200, `PUT ${path}`);
}

/** Of a setting such as 30s or 5m. */
export function secondsOf(duration: string): number {
  const [, count, unit] = /^(\d+)(s|m)$/.exec(duration) ?? [];
  if (count === undefined) throw new Error('a duration is a number of seconds or minutes: 30s, 5m');
  return Number(count) * (unit === 'm' ? 60 : 1);
}

/** Each acknowledged posting is there once, whoever's it is. */
export function verifyAllOnce(merchants: readonly Merchant[], refs: readonly string[]): void {
  const seen: Record<string, number> = {};
  for (const merchant of merchants) {
    for (const ref of externalRefs(merchant)) seen[ref] = (seen[ref] ?? 0) + 1;
  }
  for (const ref of refs) {
    const isOnce = check(seen[ref], { 'an acknowledged posting is there once': (count) => count === 1 });
    if (isOnce) verified.add(1);
    else broken.add(1);
  }
}

export function get<T>(merchant: Merchant, path: string, name: string): T {
  return expect<T>(http.get(`${URL}${path}`, { headers: headers(merchant.key), tags: { name } }), 200, name);
}

/** The acknowledged posting is there, once, under the id that was told. */
export function verifyPosting(merchant: Merchant, ref: string, id: string): void {
  const { data } = get<{ data: { id: string }[] }>(
    merchant,
    `/v1/transactions?external_ref=${encodeURIComponent(ref)}`,
    'GET /transactions?external_ref',
  );
  const isOnce = check(data, {
    'an acknowledged posting is there once': (found) => found.length === 1 && found[0]?.id === id,
  });
  if (isOnce) verified.add(1);
  else broken.add(1);
}

/** What the merchant's transactions are called outside, newest first, duplicates included. */
function externalRefs(merchant: Merchant): string[] {
  const path = '/v1/transactions?limit=1000';
  return all<{ external_ref: string }>(merchant, path, 'GET /transactions').map(({ external_ref }) => external_ref);
}

export interface Balance {
  version: string;
  posted: { debits: string; credits: string };
  pending: { debits: string; credits: string };
}

interface Line {
  direction: string;
  amount: string;
  effect: 'post' | 'capture' | 'hold' | 'release';
  account_version: string;
}

interface Page<Item> {
  data: Item[];
  next_cursor: string | null;
}

/** All of a merchant's balances sum to zero, and each is the fold of its statement with every version in it once. */
export function verifyBooks(merchant: Merchant): void {
  let debits = 0n;
  let credits = 0n;
  for (const { id } of all<{ id: string }>(merchant, '/v1/accounts?limit=1000', 'GET /accounts')) {
    const balance = get<Balance>(merchant, `/v1/accounts/${id}/balance?consistency=strong`, 'GET /balance');
    debits += BigInt(balance.posted.debits);
    credits += BigInt(balance.posted.credits);
    const lines = all<Line>(merchant, `/v1/accounts/${id}/entries?limit=1000`, 'GET /entries');
    const posted = lines.filter(({ effect }) => effect === 'post' || effect === 'capture');
    const sum = (direction: string) =>
      posted.reduce((total, line) => (line.direction === direction ? total + BigInt(line.amount) : total), 0n);
    const isFold = check(balance, {
      'a balance is the fold of its statement': ({ posted }) =>
        String(sum('debit')) === posted.debits && String(sum('credit')) === posted.credits,
      'a statement has every version once': ({ version }) =>
        String(lines.length) === version && new Set(lines.map((line) => line.account_version)).size === lines.length,
    });
    if (!isFold) broken.add(1);
  }
  if (!check(null, { "a merchant's balances sum to zero": () => debits === credits })) broken.add(1);
}

export function all<Item>(merchant: Merchant, path: string, name: string): Item[] {
  const items: Item[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Page<Item> = get<Page<Item>>(merchant, cursor === '' ? path : `${path}&cursor=${cursor}`, name);
    items.push(...page.data);
    cursor = page.next_cursor;
  }
  return items;
}
