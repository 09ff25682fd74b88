/**
 * Postings at an arrival rate, over many merchants, with unique keys and retried requests. When the load is over, the ledger
 * is asked for everything: each acknowledged posting must be there exactly once, and every merchant's books must be right.
 * A run fails for what the service did: an error, a wrong answer, a wrong book. How many of the arrivals this machine could
 * send is said, and fails nothing.
 *
 *   npm run k6 -- postings -e RATE=300 -e DURATION=30s -e MERCHANTS=20 -e P99_MS=500
 */
import { check } from 'k6';
import exec from 'k6/execution';
import {
  acknowledged,
  broken,
  type Merchant,
  openMerchant,
  postUntilAnswered,
  secondsOf,
  verifyAllOnce,
  verifyBooks,
} from './lib/counterfoil.ts';

const RATE = Number(__ENV.RATE || 200);
const DURATION = __ENV.DURATION || '20s';
const MERCHANTS = Number(__ENV.MERCHANTS || 20);
const ACCOUNTS = Number(__ENV.ACCOUNTS || 20);
const VUS = Number(__ENV.VUS || 64);
/** Of the requests, how many are sent again although they were answered, as an impatient client does. */
const RETRIED = Number(__ENV.RETRIED || 0.05);
/** Between the end of the load and the verification: longer than any request's deadline. */
const QUIET_S = 11;

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
    verify: {
      executor: 'per-vu-iterations',
      vus: 1,
      startTime: `${secondsOf(DURATION) + QUIET_S}s`,
      maxDuration: '10m',
      exec: 'verify',
    },
  },
  thresholds: {
    ledger_broken: ['count==0'],
    postings_verified: ['count>0'],
    checks: ['rate==1'],
    // A latency is promised only by who knows the machine. Without a bound it is measured all the same.
    'http_req_duration{name:POST /transactions}': __ENV.P99_MS ? [`p(99)<${__ENV.P99_MS}`] : ['p(99)>=0'],
  },
  setupTimeout: '5m',
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

export function setup(): Merchant[] {
  broken.add(0);
  const run = Date.now();
  return Array.from({ length: MERCHANTS }, (_, n) => openMerchant(`k6 postings ${run}-${n}`, ACCOUNTS));
}

export function load(merchants: Merchant[]): void {
  const n = exec.scenario.iterationInTest;
  const from = Math.floor(Math.random() * ACCOUNTS);
  const to = (from + 1 + Math.floor(Math.random() * (ACCOUNTS - 1))) % ACCOUNTS;
  const transfer = {
    merchant: merchants[n % merchants.length] as Merchant,
    ref: refOf(n),
    from: `wallet:${from}`,
    to: `wallet:${to}`,
    amount: 1 + Math.floor(Math.random() * 10_000),
  };
  const answer = postUntilAnswered(transfer);
  if (!check(answer, { 'a posting is acknowledged': ({ status }) => status === 201 })) return;
  acknowledged.add(1);
  if (Math.random() < RETRIED) {
    const again = postUntilAnswered(transfer);
    check(again, {
      'the same key gives the same answer': ({ status, body }) => status === 201 && body === answer.body,
    });
  }
}

function refOf(n: number): string {
  return `posting-${n}`;
}

/** Arrivals for which no VU was free are k6's `dropped_iterations`: the rate was then less than the one asked for. */
function whatWasSent(sent: number): string {
  const asked = RATE * secondsOf(DURATION);
  const rate = Math.round(sent / secondsOf(DURATION));
  if (sent >= asked) return `all ${sent} arrivals were sent, ${rate} a second`;
  return `${sent} of ${asked} arrivals were sent, ${rate} a second: for the others none of ${VUS} clients was free, so this is what the machine can do, or ask for more VUS`;
}

/** Every iteration of the load was acknowledged, or the threshold on `checks` has failed the run already. */
export function verify(merchants: Merchant[]): void {
  console.log(whatWasSent(exec.instance.iterationsCompleted));
  verifyAllOnce(
    merchants,
    Array.from({ length: exec.instance.iterationsCompleted }, (_, n) => refOf(n)),
  );
  for (const merchant of merchants) verifyBooks(merchant);
}
