/**
 * A night beside postings. Merchants have sold yesterday; while postings and balance reads go on at a fixed rate, all of them are settled,
 * and for a third of the time before it and what is left after it nobody is. Each posting is on an account that the night charges fees
 * on, and is read back at once: an older version than the one that was told is a stale read. Afterwards each settlement must be what was
 * sold, each acknowledged posting there once, and every merchant's books right.
 * Latencies are told apart by `night`: on, while a run was at work; off.
 *
 *   npm run k6 -- night -e RATE=100 -e DURATION=60s -e MERCHANTS=200 -e SALES=50 -e P99_MS=500
 *   npm run k6 -- night -e RATE=40 -e DURATION=15s -e MERCHANTS=20 -e SALES=5         (the smoke form)
 */
import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import {
  acknowledged,
  all,
  type Balance,
  broken,
  get,
  type Merchant,
  openMerchant,
  operatorGet,
  operatorPost,
  postUntilAnswered,
  secondsOf,
  verifyAllOnce,
  verifyBooks,
} from './lib/counterfoil.ts';
import { tellBatch } from './lib/payments.ts';

const RATE = Number(__ENV.RATE || 50);
const DURATION = __ENV.DURATION || '45s';
const MERCHANTS = Number(__ENV.MERCHANTS || 100);
/** Of each merchant, yesterday. */
const SALES = Number(__ENV.SALES || 20);
const VUS = Number(__ENV.VUS || 32);

const WALLETS = 4;
const SALE = 10_000;
/** 1.4 % and 0.25. */
const FEE = 165;
/** How long postings go on before the night begins. */
const BEFORE_S = Math.ceil(secondsOf(DURATION) / 3);
/** Between the end of the load and the verification: longer than any request's deadline. */
const QUIET_S = 11;
const LOOK_MS = 500;
const DAY_MS = 86_400_000;
const P99 = [__ENV.P99_MS ? `p(99)<${__ENV.P99_MS}` : 'p(99)>=0'];

const stale = new Counter('stale_reads');
const readBack = new Counter('postings_read_back');
const settlements = new Counter('settlements_verified');

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
    night: {
      executor: 'per-vu-iterations',
      vus: 1,
      startTime: `${BEFORE_S}s`,
      maxDuration: '30m',
      exec: 'night',
    },
  },
  thresholds: {
    checks: ['rate==1'],
    ledger_broken: ['count==0'],
    stale_reads: ['count==0'],
    postings_verified: ['count>0'],
    settlements_verified: [`count==${MERCHANTS}`],
    // A night that nobody posted beside shows nothing, nor does one without a while to hold it against.
    'postings_read_back{night:on}': ['count>0'],
    'postings_read_back{night:off}': ['count>0'],
    'http_req_duration{name:POST /transactions,night:on}': P99,
    'http_req_duration{name:POST /transactions,night:off}': P99,
    'http_req_duration{name:GET /balance,night:on}': P99,
    'http_req_duration{name:GET /balance,night:off}': P99,
  },
  setupTimeout: '10m',
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

interface Night {
  readonly day: string;
  readonly merchants: Merchant[];
}

interface Run {
  readonly id: string;
  readonly business_date: string;
  readonly status: string;
  readonly merchants: { settled: number; failed: number };
}

export function setup(): Night {
  broken.add(0);
  stale.add(0);
  const run = Date.now();
  const day = new Date(run - DAY_MS).toISOString().slice(0, 10);
  const rules = [{ applies_to: 'payment', currency: 'EUR', percent_bps: 140, fixed: '25' }];
  const plan = operatorPost<{ id: string }>('/v1/fee_plans', { name: `k6 night ${run}`, rules }, 201);
  const merchants = Array.from({ length: MERCHANTS }, (_, n) => {
    const merchant = openMerchant(`k6 night ${run}-${n}`, WALLETS, ['EUR'], plan.id);
    tellBatch(merchant, salesOf(day));
    return merchant;
  });
  return { day, merchants };
}

function salesOf(day: string): Parameters<typeof tellBatch>[1] {
  const about = { amount: String(SALE), currency: 'EUR', occurred_at: `${day}T12:00:00.000Z` };
  return Array.from({ length: SALES }, (_, n) => `sale-${n}`).flatMap((payment_ref) =>
    (['authorised', 'captured'] as const).map((type) => ({
      fact: { ...about, payment_ref, type, event_id: `${payment_ref}-${type}` },
    })),
  );
}

export function load({ day, merchants }: Night): void {
  exec.vu.metrics.tags.night = isAtWork(day) ? 'on' : 'off';
  const n = exec.scenario.iterationInTest;
  const merchant = merchants[n % merchants.length] as Merchant;
  const answer = postUntilAnswered({
    merchant,
    ref: refOf(n),
    from: `wallet:${n % WALLETS}`,
    to: 'merchant_payable:EUR',
    amount: 1 + (n % 1_000),
  });
  if (!check(answer, { 'a posting is acknowledged': ({ status }) => status === 201 })) return;
  acknowledged.add(1);
  const { balances } = answer.json() as unknown as { balances: (Balance & { account_id: string })[] };
  for (const { account_id, version } of balances) readAgain(merchant, account_id, version);
  readBack.add(1);
}

/** What was acknowledged is seen by whoever asks next, from the cache as well. */
function readAgain(merchant: Merchant, accountId: string, told: string): void {
  const { version } = get<Balance>(merchant, `/v1/accounts/${accountId}/balance`, 'GET /balance');
  if (!check(version, { 'a read sees what was posted before it': (seen) => BigInt(seen) >= BigInt(told) }))
    stale.add(1);
}

let isOn = false;
let lookedMs = 0;

/** Each client looks twice a second, the whole time: what that costs is the same on and off. */
function isAtWork(day: string): boolean {
  if (Date.now() - lookedMs < LOOK_MS) return isOn;
  lookedMs = Date.now();
  const [newest] = operatorGet<{ data: Run[] }>('/v1/settlement_runs?limit=1', 'GET /settlement_runs').data;
  isOn = newest?.business_date === day && isOpen(newest);
  return isOn;
}

const isOpen = ({ status }: Run): boolean => status === 'queued' || status === 'running';

const refOf = (n: number): string => `beside-${n}`;

export function night({ day, merchants }: Night): void {
  const began = Date.now();
  settle(day, merchants);
  const loadEndsMs = began + (secondsOf(DURATION) - BEFORE_S + QUIET_S) * 1_000;
  sleep(Math.max(0, loadEndsMs - Date.now()) / 1_000);
  verify({ day, merchants });
}

function settle(business_date: string, merchants: readonly Merchant[]): void {
  const began = Date.now();
  const asked = { business_date, merchant_ids: merchants.map(({ id }) => id) };
  let run = operatorPost<Run>('/v1/settlement_runs', asked, 202);
  while (isOpen(run)) {
    sleep(LOOK_MS / 1_000);
    run = operatorGet<Run>(`/v1/settlement_runs/${run.id}`, 'GET /settlement_runs/{id}');
  }
  const { settled, failed } = run.merchants;
  console.log(`${settled} merchants settled, ${failed} failed, in ${((Date.now() - began) / 1_000).toFixed(1)} s`);
  if (!check(run, { 'all merchants are settled': () => settled === MERCHANTS && failed === 0 })) broken.add(1);
}

interface Settlement {
  readonly business_date: string;
  readonly status: string;
  readonly gross: string;
  readonly fees: string;
  readonly net: string;
  readonly items: number;
}

function verify({ day, merchants }: Night): void {
  const oughtToBe = [[day, 'posted', String(SALES * SALE), String(SALES * FEE), String(SALES * (SALE - FEE)), SALES]];
  for (const merchant of merchants) {
    const is = all<Settlement>(merchant, '/v1/settlements?limit=100', 'GET /settlements').map(
      ({ business_date, status, gross, fees, net, items }) => [business_date, status, gross, fees, net, items],
    );
    if (check(is, { 'a settlement is what was sold': (got) => JSON.stringify(got) === JSON.stringify(oughtToBe) }))
      settlements.add(1);
    else broken.add(1);
    verifyBooks(merchant);
  }
  verifyAllOnce(
    merchants,
    Array.from({ length: exec.instance.iterationsCompleted }, (_, n) => refOf(n)),
  );
}
