/**
 * Postings at an arrival rate, over many merchants, with unique keys and retried requests. When the load is over, every VU
 * verifies what it was acknowledged, and the books of each merchant are checked.
 *
 *   npm run k6 -- postings -e RATE=300 -e DURATION=30s -e MERCHANTS=20
 */
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import {
  acknowledged,
  broken,
  type Merchant,
  openMerchant,
  postTransfer,
  verifyBooks,
  verifyPosting,
} from './lib/counterfoil.ts';

const RATE = Number(__ENV.RATE || 200);
const DURATION = __ENV.DURATION || '20s';
const MERCHANTS = Number(__ENV.MERCHANTS || 20);
const ACCOUNTS = Number(__ENV.ACCOUNTS || 20);
const VUS = Number(__ENV.VUS || 64);
/** Of the requests, how many are sent again although they were answered, as an impatient client does. */
const RETRIED = Number(__ENV.RETRIED || 0.05);
const ATTEMPTS = 5;
/** Time between the end of the load and the verification: longer than any request's deadline. */
const QUIET_S = 15;

export const options = {
  scenarios: {
    load: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      duration: DURATION,
      preAllocatedVUs: VUS,
      maxVUs: VUS,
      exec: 'load',
    },
    // The same VUs, which still know what they were told: k6 hands out one pool.
    verify: {
      executor: 'per-vu-iterations',
      vus: VUS,
      iterations: 1,
      startTime: `${seconds(DURATION) + QUIET_S}s`,
      maxDuration: '10m',
      exec: 'verify',
    },
  },
  thresholds: {
    ledger_broken: ['count==0'],
    checks: ['rate==1'],
    'http_req_duration{name:POST /transactions}': [`p(99)<${__ENV.P99_MS || 500}`],
    // Arrivals for which no VU was free were never sent: the measured rate would not be the one asked for.
    dropped_iterations: [`count<${Math.max(1, Math.ceil(RATE * seconds(DURATION) * 0.01))}`],
  },
  setupTimeout: '5m',
  teardownTimeout: '10m',
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

function seconds(duration: string): number {
  const [, count, unit] = /^(\d+)(s|m)$/.exec(duration) ?? [];
  if (count === undefined) throw new Error('DURATION is a number of seconds or minutes: 30s, 5m');
  return Number(count) * (unit === 'm' ? 60 : 1);
}

export function setup(): Merchant[] {
  broken.add(0);
  const run = Date.now();
  return Array.from({ length: MERCHANTS }, (_, n) => openMerchant(`k6 postings ${run}-${n}`, ACCOUNTS));
}

/** What this VU was acknowledged. Its own: VUs share no memory. */
const told: { merchant: number; ref: string; id: string }[] = [];

export function load(merchants: Merchant[]): void {
  const n = exec.scenario.iterationInTest;
  const merchant = n % merchants.length;
  const from = Math.floor(Math.random() * ACCOUNTS);
  const to = (from + 1 + Math.floor(Math.random() * (ACCOUNTS - 1))) % ACCOUNTS;
  const transfer = {
    merchant: merchants[merchant] as Merchant,
    ref: `posting-${n}`,
    from: `wallet:${from}`,
    to: `wallet:${to}`,
    amount: 1 + Math.floor(Math.random() * 10_000),
  };
  let answer = postTransfer(transfer);
  for (let attempt = 1; answer.status !== 201 && isPassing(answer.status) && attempt < ATTEMPTS; attempt += 1) {
    sleep(0.05 * attempt);
    answer = postTransfer(transfer);
  }
  if (!check(answer, { 'a posting is acknowledged': ({ status }) => status === 201 })) return;
  acknowledged.add(1);
  told.push({ merchant, ref: transfer.ref, id: (answer.json() as { id: string }).id });
  if (Math.random() < RETRIED) {
    const again = postTransfer(transfer);
    check(again, {
      'the same key gives the same answer': ({ status, body }) => status === 201 && body === answer.body,
    });
  }
}

/** 0 is a connection that broke; the others say themselves that a retry with the same key is right. */
function isPassing(status: number): boolean {
  return status === 0 || status === 429 || status === 503 || status === 504;
}

export function verify(merchants: Merchant[]): void {
  for (const { merchant, ref, id } of told) verifyPosting(merchants[merchant] as Merchant, ref, id);
}

export function teardown(merchants: Merchant[]): void {
  for (const merchant of merchants) verifyBooks(merchant);
}
