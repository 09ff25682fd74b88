/**
 * A night beside postings. Merchants have sold yesterday; while postings and balance reads go on at a fixed rate, all of them are settled,
 * and for a third of the time before it and what is left after it nobody is. Each posting is on an account that the night charges fees
 * on, and is read back at once: an older version than the one that was told is a stale read. Afterwards each settlement must be what was
 * sold, each acknowledged posting there once, and every merchant's books right.
 * Latencies are told apart by `night`: on, while a run was at work; off.
 *
 *   npm run k6 -- night -e RATE=100 -e DURATION=60s -e MERCHANTS=200 -e SALES=50 -e P99_MS=500
 */
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { all, get } from './lib/client.ts';
import { jsonOf } from './lib/contract.ts';
import { inOrder, openMerchant, operatorGet, operatorPost, wallet } from './lib/merchants.ts';
import { tellBatch } from './lib/payments.ts';
import type { Merchant } from './lib/postings.ts';
import { arrival, begin, client, hold, inTurn, optionsOf, postNoted, verify } from './lib/run.ts';
import { durationOf, numberOf } from './lib/settings.ts';
import { world } from './lib/world.ts';

const RATE = numberOf('RATE', 50, 20);
const SECONDS = durationOf('45s', '12s');
const MERCHANTS = numberOf('MERCHANTS', 100, 10);
/** Of each merchant, yesterday. */
const SALES = numberOf('SALES', 20, 5);

const WALLETS = 4;
const SALE = 10_000;
/** 1.4 % and 0.25. */
const FEE = 165;
/** How long postings go on before the night begins. */
const BEFORE_S = Math.ceil(SECONDS / 3);
const LOOK_MS = 500;
const DAY_MS = 86_400_000;
const MEASURED = ['p(99)>=0'];

const stale = new Counter('stale_reads');
const readBack = new Counter('postings_read_back');
const settlements = new Counter('settlements_verified');

export const options = optionsOf(
  { rate: RATE, seconds: SECONDS, bounded: ['POST /transactions', 'GET /accounts/{id}/balance'] },
  {
    scenarios: {
      night: {
        executor: 'per-vu-iterations',
        vus: 1,
        startTime: `${BEFORE_S}s`,
        maxDuration: '30m',
        exec: 'night',
      },
    },
    thresholds: {
      stale_reads: ['count==0'],
      settlements_verified: [`count==${MERCHANTS}`],
      // A night that nobody posted beside shows nothing, nor does one without a while to hold it against.
      'postings_read_back{night:on}': ['count>0'],
      'postings_read_back{night:off}': ['count>0'],
      'http_req_duration{name:POST /transactions,night:on}': MEASURED,
      'http_req_duration{name:POST /transactions,night:off}': MEASURED,
      'http_req_duration{name:GET /accounts/{id}/balance,night:on}': MEASURED,
      'http_req_duration{name:GET /accounts/{id}/balance,night:off}': MEASURED,
    },
  },
);

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

export async function setup(): Promise<Night> {
  begin();
  stale.add(0);
  const run = Date.now();
  const day = new Date(run - DAY_MS).toISOString().slice(0, 10);
  const rules = [{ applies_to: 'payment', currency: 'EUR', percent_bps: 140, fixed: '25' }];
  const plan = await operatorPost<{ id: string }>('/v1/fee_plans', { name: `k6 night ${run}`, rules }, 201);
  const merchants = await inOrder(MERCHANTS, async (n) => {
    const merchant = await openMerchant(`k6 night ${run}-${n}`, { wallets: WALLETS, feePlanId: plan.id });
    await tellBatch(merchant, salesOf(day));
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

export const load = client(async ({ day, merchants }: Night) => {
  exec.vu.metrics.tags.night = (await isAtWork(day)) ? 'on' : 'off';
  const n = arrival();
  const merchant = inTurn(merchants);
  const [from, to] = [wallet(n % WALLETS), 'merchant_payable:EUR'];
  const { kind, answer } = await postNoted(merchant, {
    merchant: merchant.id,
    ref: `beside-${n}`,
    from,
    to,
    amount: 1 + (n % 1_000),
  });
  if (kind !== 'done') return;
  const { balances } = jsonOf<{ balances: Told[] }>(answer.body) ?? { balances: [] };
  for (const told of balances) await readAgain(merchant, told);
  readBack.add(1);
});

interface Told {
  readonly account_id: string;
  readonly version: string;
}

/** What was acknowledged is seen by whoever asks next, from the cache as well. */
async function readAgain({ key }: Merchant, told: Told): Promise<void> {
  const { version } = await get<Told>(world, key, `/v1/accounts/${told.account_id}/balance`);
  const isFresh = BigInt(version) >= BigInt(told.version);
  if (!hold(isFresh, 'no read is stale', `${told.account_id}: version ${version}, after ${told.version}`)) stale.add(1);
}

let isOn = false;
let lookedMs = 0;

/** Each client looks twice a second, the whole time: what that costs is the same on and off. */
async function isAtWork(day: string): Promise<boolean> {
  if (Date.now() - lookedMs < LOOK_MS) return isOn;
  lookedMs = Date.now();
  const [newest] = (await operatorGet<{ data: Run[] }>('/v1/settlement_runs?limit=1')).data;
  isOn = newest?.business_date === day && isOpen(newest);
  return isOn;
}

const isOpen = ({ status }: Run): boolean => status === 'queued' || status === 'running';

export const night = client(async ({ day, merchants }: Night) => {
  const began = Date.now();
  const asked = { business_date: day, merchant_ids: merchants.map(({ id }) => id) };
  let run = await operatorPost<Run>('/v1/settlement_runs', asked, 202);
  while (isOpen(run)) {
    await world.pause(LOOK_MS);
    run = await operatorGet<Run>(`/v1/settlement_runs/${run.id}`);
  }
  const { settled, failed } = run.merchants;
  const said = `${settled} merchants settled, ${failed} failed, in ${((Date.now() - began) / 1_000).toFixed(1)} s`;
  console.log(said);
  hold(settled === MERCHANTS && failed === 0, 'all merchants are settled', said);
});

interface Settlement {
  readonly business_date: string;
  readonly status: string;
  readonly gross: string;
  readonly fees: string;
  readonly net: string;
  readonly items: number;
}

export const teardown = client(async ({ day, merchants }: Night) => {
  const oughtToBe = JSON.stringify([
    [day, 'posted', String(SALES * SALE), String(SALES * FEE), String(SALES * (SALE - FEE)), SALES],
  ]);
  for (const { key } of merchants) {
    const found = await all<Settlement>(world, key, '/v1/settlements?limit=100');
    const is = JSON.stringify(
      found.map(({ business_date, status, gross, fees, net, items }) => [
        business_date,
        status,
        gross,
        fees,
        net,
        items,
      ]),
    );
    if (hold(is === oughtToBe, 'a settlement is what was sold', `${is}, not ${oughtToBe}`)) settlements.add(1);
  }
  // Payments and settlements are posted by the service itself.
  await verify(merchants, { isOther: ({ type }) => type !== 'transfer' });
});
