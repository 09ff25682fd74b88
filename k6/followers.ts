/**
 * Clients follow merchants' logs by long polls while postings go on. Each must be told every event once, in the order of the log, which must
 * tell of every posting; how late they are told is measured.
 *
 *   npm run k6 -- followers -e RATE=100 -e FOLLOWERS=8 -e DURATION=30s
 */
import exec from 'k6/execution';
import { follow, LATEST_S, verifyFollowers } from './lib/follow.ts';
import { openMerchants, random, twoWallets } from './lib/merchants.ts';
import type { Merchant } from './lib/postings.ts';
import { arrival, begin, client, inTurn, optionsOf, postNoted, verify } from './lib/run.ts';
import { durationOf, numberOf } from './lib/settings.ts';
import { world } from './lib/world.ts';

const RATE = numberOf('RATE', 100, 40);
const SECONDS = durationOf('30s', '8s');
const MERCHANTS = numberOf('MERCHANTS', 4, 2);
/** Of each merchant. */
const FOLLOWERS = numberOf('FOLLOWERS', 4, 3);
const LAG_P99_MS = numberOf('LAG_P99_MS', 2_000);
const WALLETS = 5;

export const options = optionsOf(
  { rate: RATE, seconds: SECONDS, bounded: ['POST /transactions'] },
  {
    scenarios: {
      // Not a load: each asks on when it was answered.
      follow: {
        executor: 'per-vu-iterations',
        vus: MERCHANTS * FOLLOWERS,
        maxDuration: `${SECONDS + LATEST_S}s`,
        exec: 'following',
      },
    },
    thresholds: { event_lag: [`p(99)<${LAG_P99_MS}`] },
  },
);

export function setup(): Promise<Merchant[]> {
  begin();
  return openMerchants('followers', MERCHANTS, { wallets: WALLETS });
}

export const load = client(async (merchants: Merchant[]) => {
  const merchant = inTurn(merchants);
  const [from, to] = twoWallets(WALLETS);
  await postNoted(merchant, { merchant: merchant.id, ref: `followed-${arrival()}`, from, to, amount: 1 + random(100) });
});

export const following = client(async (merchants: Merchant[]) => {
  const loadEndsMs = exec.scenario.startTime + SECONDS * 1_000;
  await follow(world, inTurn(merchants), `follower ${arrival()}`, loadEndsMs);
});

export const teardown = client(async (merchants: Merchant[]) => {
  const verdicts = await verify(merchants);
  for (const [n, verdict] of verdicts.entries()) verifyFollowers(merchants[n] as Merchant, verdict, FOLLOWERS);
});
