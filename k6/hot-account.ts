/**
 * Everybody pays into and out of one account, which has a floor: at a rate that rises to twice the mean. Half of them want more than there
 * may be, so that the race for the rest is real. Refusals are definite and leave nothing; the account is never below its floor, at no version.
 *
 *   npm run k6 -- hot-account -e RATE=300 -e DURATION=30s
 */
import { openMerchant, openWallet, random, wallet } from './lib/merchants.ts';
import type { Merchant } from './lib/postings.ts';
import { arrival, begin, client, hold, optionsOf, postNoted, verify } from './lib/run.ts';
import { durationOf, numberOf } from './lib/settings.ts';

const RATE = numberOf('RATE', 200, 60);
const SECONDS = durationOf('30s', '8s');
/** Less is paid in than is asked for. */
const LARGEST_IN = 60;
const LARGEST_OUT = 100;
const PAYERS = 10;
const HOT = PAYERS;
const REFUSALS = ['insufficient_funds'];

export const options = optionsOf(
  { rate: RATE, seconds: SECONDS, isRamping: true, bounded: ['POST /transactions'], refused: 0.5 },
  // A race that nobody lost shows nothing.
  { thresholds: { 'answers{kind:refused}': ['count>0'] } },
);

export async function setup(): Promise<Merchant> {
  begin();
  const merchant = await openMerchant(`k6 hot account ${Date.now()}`, { wallets: PAYERS });
  await openWallet(merchant, HOT, '0');
  return merchant;
}

export const load = client(async (merchant: Merchant) => {
  const n = arrival();
  const [payer, hot] = [wallet(n % PAYERS), wallet(HOT)];
  const way =
    n % 2 === 0
      ? { from: payer, to: hot, amount: 1 + random(LARGEST_IN) }
      : { from: hot, to: payer, amount: 1 + random(LARGEST_OUT) };
  await postNoted(merchant, { merchant: merchant.id, ref: `hot-${n}`, ...way }, REFUSALS);
});

export const teardown = client(async (merchant: Merchant) => {
  const [verdict] = await verify([merchant], { refusals: REFUSALS });
  const hot = verdict?.books.accounts.find(({ code }) => code === wallet(HOT));
  hold(Number(hot?.balance.version) > 0, 'the hot account was posted on', String(hot?.balance.version));
});
