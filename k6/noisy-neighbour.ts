/**
 * A merchant posts and reads at a modest rate, first alone, then beside another that sends 50 times as much of everything in turn:
 * postings, batches of 1,000, full pages, balances in the past, keys that were never given out. What the first one waits beside that
 * is held against what it waited alone, and it is refused nothing. The noisy one may be refused, as the contract says. Afterwards each
 * posting of the first must be there once, and its books right.
 *
 *   npm run k6 -- noisy-neighbour -e RATE=10 -e PHASE=15s -e RATIO=1.2
 *   npm run k6 -- noisy-neighbour -e RATE=10 -e PHASE=3s -e RATIO=50        (the smoke form: does it work at all?)
 *
 * The noisy one has a plan of UNITS_PER_SECOND, a tenth of a core; 0: what every merchant has by the settings, which is more than a small
 * machine can do in all.
 */
import { check } from 'k6';
import exec from 'k6/execution';
import http, { type RefinedResponse } from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { setTimeout } from 'k6/timers';
import {
  acknowledged,
  all,
  broken,
  headers,
  type Merchant,
  openMerchant,
  operatorPut,
  secondsOf,
  transferRequest,
  URL,
  verifyAllOnce,
  verifyBooks,
} from './lib/counterfoil.ts';
import { forgedKey } from './lib/forged-key.ts';

/** Postings a second, and as many reads. */
const RATE = Number(__ENV.RATE || 10);
const TIMES = 50;
const PHASE_S = secondsOf(__ENV.PHASE || '15s');
const RATIO = Number(__ENV.RATIO || 1.2);
const UNITS_PER_SECOND = Number(__ENV.UNITS_PER_SECOND ?? 1_000);

/** For what was sent at the end of a phase to be answered. */
const PAUSE_S = 2;
const WALLETS = 20;
const BATCH = 1_000;
/** Of each kind of noise: so many clients at most, each with one request at a time. */
const CLIENTS = { postings: 32, batches: 4, pages: 8, 'point in time': 8, 'forged keys': 16 };
type Noise = keyof typeof CLIENTS;
const NOISES = Object.keys(CLIENTS) as Noise[];
const PHASES = ['warm-up', 'alone', ...NOISES] as const;
type Phase = (typeof PHASES)[number];

const ratios = new Trend('neighbour_p99_ratio');
const refusals = new Counter('neighbour_refused');
const answers = new Counter('noisy_answers');

const startOf = (phase: Phase): number => PHASES.indexOf(phase) * (PHASE_S + PAUSE_S);

function noiseOf(noise: Noise, run: string) {
  const vus = CLIENTS[noise];
  // As far as the clients get through it: what is left undone are k6's dropped_iterations.
  const load = { executor: 'constant-arrival-rate', rate: TIMES * RATE, preAllocatedVUs: vus, maxVUs: vus } as const;
  return { ...load, startTime: `${startOf(noise)}s`, duration: `${PHASE_S}s`, exec: run };
}

export const options = {
  scenarios: {
    // One client, so that it can tell the phases apart and hold them against each other; its requests wait for nothing.
    neighbour: { executor: 'per-vu-iterations', vus: 1, maxDuration: '30m', exec: 'neighbour' },
    postings: noiseOf('postings', 'postings'),
    batches: noiseOf('batches', 'batches'),
    pages: noiseOf('pages', 'pages'),
    point_in_time: noiseOf('point in time', 'pointInTime'),
    forged_keys: noiseOf('forged keys', 'forgedKeys'),
  },
  thresholds: {
    checks: ['rate==1'],
    ledger_broken: ['count==0'],
    postings_verified: ['count>0'],
    neighbour_refused: ['count==0'],
    // Noise that nobody made shows nothing.
    ...Object.fromEntries(NOISES.map((noise) => [`noisy_answers{noise:${noise}}`, ['count>0']])),
    ...Object.fromEntries(NOISES.map((noise) => [`neighbour_p99_ratio{noise:${noise}}`, [`max<=${RATIO}`]])),
  },
  setupTimeout: '5m',
  summaryTrendStats: ['med', 'p(99)', 'max'],
};

interface Run {
  readonly quiet: Merchant;
  readonly noisy: Merchant;
  /** Accounts of the noisy one. */
  readonly accounts: string[];
  readonly beganMs: number;
}

export function setup(): Run {
  broken.add(0);
  refusals.add(0);
  const beganMs = Date.now();
  const quiet = openMerchant(`k6 neighbour ${beganMs}`, WALLETS);
  const noisy = openMerchant(`k6 noisy ${beganMs}`, WALLETS);
  // So that a full page is one.
  for (let n = 0; n < 3; n += 1) postBatch(noisy, `history-${n}`);
  if (UNITS_PER_SECOND > 0) {
    const plan = { burst_units: 2 * UNITS_PER_SECOND, units_in_flight: UNITS_PER_SECOND };
    operatorPut(`/v1/merchants/${noisy.id}/limits`, { units_per_second: UNITS_PER_SECOND, ...plan });
  }
  const accounts = all<{ id: string }>(noisy, '/v1/accounts?limit=1000', 'GET /accounts').map(({ id }) => id);
  return { quiet, noisy, accounts, beganMs };
}

/** The quiet one's life, from its first posting to the verification of its books. */
export async function neighbour(run: Run): Promise<void> {
  const waits = {} as Record<Phase, Waits>;
  for (const phase of PHASES) {
    await until(exec.scenario.startTime + startOf(phase) * 1_000);
    waits[phase] = await live(run, phase);
  }
  for (const noise of NOISES) tellRatios(noise, waits.alone, waits[noise]);
  await until(Date.now() + PAUSE_S * 1_000);
  verifyAllOnce([run.quiet], postedRefs);
  verifyBooks(run.quiet);
}

/** Milliseconds. */
interface Waits {
  readonly postings: number[];
  readonly reads: number[];
}

const postedRefs: string[] = [];

/** One phase: each request is sent when it is due, whatever has become of those before. */
async function live({ quiet }: Run, phase: Phase): Promise<Waits> {
  const waits: Waits = { postings: [], reads: [] };
  const began = Date.now();
  const underWay: Promise<void>[] = [];
  for (let n = 0; n < RATE * PHASE_S; n += 1) {
    await until(began + (n * 1_000) / RATE);
    underWay.push(post(quiet, `${PHASES.indexOf(phase)}-${n}`, waits.postings));
    await until(began + ((n + 0.5) * 1_000) / RATE);
    underWay.push(read(quiet, waits.reads));
  }
  await Promise.all(underWay);
  return waits;
}

async function until(ms: number): Promise<void> {
  const left = ms - Date.now();
  if (left > 0) await new Promise<void>((resolve) => setTimeout(resolve, left));
}

async function post(merchant: Merchant, ref: string, waits: number[]): Promise<void> {
  const [from, to] = twoWallets();
  const { url, body, params } = transferRequest({ merchant, ref, from, to, amount: 1 + random(10_000) });
  const answer = await http.asyncRequest('POST', url, body, params);
  if (!isServed(answer, 201)) return;
  acknowledged.add(1);
  postedRefs.push(ref);
  waits.push(answer.timings.duration);
}

async function read(merchant: Merchant, waits: number[]): Promise<void> {
  const params = { headers: headers(merchant.key), tags: { name: 'GET /transactions' } };
  const answer = await http.asyncRequest('GET', `${URL}/v1/transactions?limit=10`, null, params);
  if (isServed(answer, 200)) waits.push(answer.timings.duration);
}

function isServed(answer: RefinedResponse<'text'>, status: number): boolean {
  if (check(answer, { 'the neighbour is served': (got) => got.status === status })) return true;
  refusals.add(1);
  console.error(`the neighbour was answered ${answer.status}: ${answer.body}`);
  return false;
}

function tellRatios(noise: Noise, alone: Waits, beside: Waits): void {
  for (const what of ['postings', 'reads'] as const) {
    const [a, b] = [alone, beside].map((waits) => waits[what]) as [number[], number[]];
    const ratio = rank(b, 0.99) / rank(a, 0.99);
    ratios.add(ratio, { noise, what });
    const shown = [a, b].map((ms) => `${rank(ms, 0.5).toFixed(1)} / ${rank(ms, 0.99).toFixed(1)} ms`);
    console.log(
      `${what} beside ${noise}: p50 / p99 ${shown[0]} alone, ${shown[1]} beside; p99 ÷ alone ${ratio.toFixed(2)}`,
    );
  }
}

function rank(ms: readonly number[], share: number): number {
  const sorted = [...ms].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

export function postings({ noisy, beganMs }: Run): void {
  const [from, to] = twoWallets();
  const ref = `noise-${beganMs}-${exec.scenario.iterationInTest}`;
  const { url, body, params } = transferRequest({ merchant: noisy, ref, from, to, amount: 1 });
  tell('postings', http.post(url, body, params), 201);
}

export function batches({ noisy }: Run): void {
  tell('batches', postBatch(noisy, `batch-${exec.scenario.iterationInTest}`), 200);
}

export function pages({ noisy }: Run): void {
  tell('pages', ask(noisy, '/v1/transactions?limit=1000'), 200);
}

export function pointInTime({ noisy, accounts, beganMs }: Run): void {
  const at = new Date(beganMs + random(Date.now() - beganMs)).toISOString();
  tell('point in time', ask(noisy, `/v1/accounts/${accounts[random(accounts.length)]}/balance?at=${at}`), 200);
}

export function forgedKeys({ noisy }: Run): void {
  tell('forged keys', ask({ ...noisy, key: forgedKey(noisy.key) }, '/v1/accounts'), 401);
}

function ask({ key }: Merchant, path: string): RefinedResponse<'text'> {
  return http.get(`${URL}${path}`, { headers: headers(key), tags: { name: 'noise' } });
}

function postBatch(merchant: Merchant, ref: string): RefinedResponse<'text'> {
  const transactions = Array.from({ length: BATCH }, () => {
    const [from, to] = twoWallets();
    return {
      type: 'transfer',
      entries: [
        { account_code: from, direction: 'debit', amount: '1', currency: 'EUR' },
        { account_code: to, direction: 'credit', amount: '1', currency: 'EUR' },
      ],
    };
  });
  const body = JSON.stringify({ mode: 'independent', transactions });
  const params = { headers: headers(merchant.key, ref), tags: { name: 'noise' } };
  return http.post(`${URL}/v1/transactions/batch`, body, params);
}

/** What a refusal says, by its status; each tells when to come again. */
const REFUSALS: Record<number, string[]> = {
  429: ['rate_limited'],
  503: ['overloaded'],
  504: ['deadline_exceeded'],
};

/** The noisy one may be refused, as the contract says. */
function tell(noise: Noise, answer: RefinedResponse<'text'>, status: number): void {
  answers.add(1, { noise, status: String(answer.status) });
  const isRight = check(answer, {
    'an answer to the noisy one is within the contract': (got) => got.status === status || isRefusal(got),
  });
  if (isRight) return;
  broken.add(1);
  console.error(`${noise}: answered ${answer.status} ${JSON.stringify(answer.headers)} ${answer.body}`);
}

function isRefusal({ status, headers: sent, body }: RefinedResponse<'text'>): boolean {
  const codes = REFUSALS[status];
  if (!codes || !/^[1-9]\d*$/.test(sent['Retry-After'] ?? '')) return false;
  return codes.includes((JSON.parse(body) as { code: string }).code);
}

function twoWallets(): [from: string, to: string] {
  const from = random(WALLETS);
  return [`wallet:${from}`, `wallet:${(from + 1 + random(WALLETS - 1)) % WALLETS}`];
}

function random(below: number): number {
  return Math.floor(Math.random() * below);
}
