import { check, sleep } from 'k6';
import http, { type RefinedResponse } from 'k6/http';
import { Counter } from 'k6/metrics';
import {
  type ApiPayment,
  type Ending,
  endingOf,
  PAYMENT_ACCOUNTS,
  shownOf,
} from '../../apps/provider-simulator/src/ending.ts';
import type { Life, ProviderFact } from '../../apps/provider-simulator/src/life.ts';
import { all, type Balance, broken, get, headers, type Merchant, URL } from './counterfoil.ts';

/** Payments: telling the facts of their lives, and asking where they ended. */

const PROVIDER = 'k6';
/** A request that came to nothing is sent again, for longer than any deadline of the service. */
const ATTEMPTS = 25;

export const outcomes = new Counter('facts_outcomes');
export const lives = new Counter('lives_verified');
export const resent = new Counter('requests_sent_again');

const PLACED = ['applied', 'stale'];
const OUTCOMES = ['applied', 'duplicate', 'stale', 'parked'];

interface Outcome {
  outcome: string;
  reason?: string;
}

/** Something to tell: what the provider knows, or that the merchant opens the payment itself. */
export type Message = { fact: ProviderFact } | { open: Life };

export function tell(merchant: Merchant, message: Message): void {
  if ('open' in message) openPayment(merchant, message.open);
  else tellFact(merchant, message.fact);
}

function tellFact(merchant: Merchant, fact: ProviderFact): void {
  const answer = untilAnswered(() => post(merchant, '/v1/provider_events', { provider: PROVIDER, ...fact }));
  if (isWithin(answer, 202)) count([answer.json() as unknown as Outcome]);
}

/** All of them in one request, in this order; what a merchant opens goes on its own. */
export function tellBatch(merchant: Merchant, messages: readonly Message[]): void {
  for (const message of messages) if ('open' in message) openPayment(merchant, message.open);
  const events = messages.flatMap((message) => ('fact' in message ? [{ provider: PROVIDER, ...message.fact }] : []));
  if (events.length === 0) return;
  const answer = untilAnswered(() => post(merchant, '/v1/provider_events/batch', { events }));
  if (!isWithin(answer, 202)) return;
  const { results } = answer.json() as unknown as { results: Outcome[] };
  if (!check(results, { 'a batch is answered item by item': ({ length }) => length === events.length })) broken.add(1);
  count(results);
}

/** By everybody who tells of it, with one key: it is opened once. */
function openPayment(merchant: Merchant, { ref, currency, opening }: Life): void {
  const body = { ...opening, currency, provider: PROVIDER, provider_ref: ref };
  isWithin(
    untilAnswered(() => post(merchant, '/v1/payments', body, `open-${ref}`)),
    201,
  );
}

function post(merchant: Merchant, path: string, body: object, key?: string): RefinedResponse<'text'> {
  const params = { headers: headers(merchant.key, key), tags: { name: `POST ${path.slice(3)}` } };
  return http.post(`${URL}${path}`, JSON.stringify(body), params);
}

/** 0 is a connection that broke: whether it was done is not known, and sending it again is right, for its identity is its own. */
function untilAnswered(send: () => RefinedResponse<'text'>): RefinedResponse<'text'> {
  let answer = send();
  for (let attempt = 1; [0, 429, 503, 504].includes(answer.status) && attempt < ATTEMPTS; attempt += 1) {
    resent.add(1);
    sleep(Math.min(0.05 * attempt, 1));
    answer = send();
  }
  return answer;
}

function isWithin(answer: RefinedResponse<'text'>, status: number): boolean {
  const isRight = check(answer, { 'an answer is within the contract': (got) => got.status === status });
  if (isRight) return true;
  broken.add(1);
  console.error(`${answer.request.method} ${answer.request.url} was answered ${answer.status}: ${answer.body}`);
  return false;
}

function count(results: readonly Outcome[]): void {
  for (const { outcome, reason } of results) {
    outcomes.add(1, { outcome });
    if (check(outcome, { 'what is true is never rejected': (what) => OUTCOMES.includes(what) })) continue;
    broken.add(1);
    console.error(`a fact was ${outcome}: ${reason}`);
  }
}

/** Asks for one life: it is there once, ended where its story did, and its timeline has every fact that was told. */
export function verifyLife(merchant: Merchant, life: Life, told: readonly ProviderFact[]): void {
  const where = `/v1/payments?provider=${PROVIDER}&provider_ref=${life.ref}`;
  const { data } = get<{ data: { id: string }[] }>(merchant, where, 'GET /payments');
  if (!check(data, { 'a payment is there once': ({ length }) => length === 1 })) {
    broken.add(1);
    console.error(`${life.plot} ${life.ref} is there ${data.length} times`);
    return;
  }
  const payment = get<ApiPayment>(merchant, `/v1/payments/${data[0]?.id}`, 'GET /payments/{id}');
  const [is, oughtToBe] = [JSON.stringify(seen(payment)), JSON.stringify(expected(life, told))];
  if (check(is, { 'a payment ended where its facts say': (text) => text === oughtToBe })) lives.add(1);
  else {
    broken.add(1);
    console.error(`${life.plot} ${life.ref} ended as\n  ${is}, not as\n  ${oughtToBe}`);
  }
}

/** A payment without findings, whose every fact was placed. */
function seen(payment: ApiPayment) {
  const placed = payment.timeline.filter(({ source, outcome }) => source === 'provider' && PLACED.includes(outcome));
  const findings = payment.findings.map(({ kind }) => kind);
  return { shown: shownOf(payment), findings, placed: placed.map((fact) => fact.event_id).sort() };
}

function expected(life: Life, told: readonly ProviderFact[]): ReturnType<typeof seen> {
  return { shown: endingOf(life).shown, findings: [], placed: told.map((fact) => fact.event_id).sort() };
}

/** What payments moved on a merchant's accounts is what its lives say, posted and pending. */
export function verifyBalances(merchant: Merchant, currency: string, told: readonly Life[]): void {
  const endings = told.map(endingOf);
  const accounts = all<{ id: string; code: string }>(merchant, '/v1/accounts?limit=1000', 'GET /accounts');
  for (const name of PAYMENT_ACCOUNTS) {
    const account = accounts.find(({ code }) => code === `${name}:${currency}`);
    const path = `/v1/accounts/${account?.id}/balance?consistency=strong`;
    const balance = get<Balance>(merchant, path, 'GET /balance');
    const is = [balance.posted, balance.pending].map(({ debits, credits }) => String(BigInt(debits) - BigInt(credits)));
    const sum = (of: (ending: Ending) => number) => String(endings.reduce((total, ending) => total + of(ending), 0));
    const oughtToBe = [sum(({ posted }) => posted[name]), sum(({ pending }) => pending[name] ?? 0)];
    if (check(is, { 'an account has what its payments say': (got) => got.join() === oughtToBe.join() })) continue;
    broken.add(1);
    console.error(`${name}:${currency} of merchant ${merchant.id} has ${is}, not ${oughtToBe} (posted, pending)`);
  }
}
