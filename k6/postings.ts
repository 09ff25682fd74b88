/**
 * Postings at an arrival rate, over many merchants, with unique keys and requests that are sent again although they were answered. When the
 * load is over, the ledger is asked for everything: each acknowledged posting must be there exactly once, nothing else, and every merchant's
 * books must be right. Arrivals for which no client was free are k6's `dropped_iterations`.
 *
 *   npm run k6 -- postings -e RATE=300 -e DURATION=30s -e MERCHANTS=20 -e P99_MS=500
 */
import { askOnce } from './lib/client.ts';
import { openMerchants, random, twoWallets } from './lib/merchants.ts';
import { type Merchant, requestOf } from './lib/postings.ts';
import { arrival, begin, client, hold, inTurn, optionsOf, postNoted, verify } from './lib/run.ts';
import { durationOf, numberOf } from './lib/settings.ts';
import { world } from './lib/world.ts';

const RATE = numberOf('RATE', 200, 60);
const SECONDS = durationOf('30s', '8s');
const MERCHANTS = numberOf('MERCHANTS', 20, 4);
const ACCOUNTS = numberOf('ACCOUNTS', 20, 10);
/** Of the requests, how many are sent again although they were answered, as an impatient client does. */
const RETRIED = numberOf('RETRIED', 0.05);

export const options = optionsOf({ rate: RATE, seconds: SECONDS, bounded: ['POST /transactions'] });

export function setup(): Promise<Merchant[]> {
  begin();
  return openMerchants('postings', MERCHANTS, { wallets: ACCOUNTS });
}

export const load = client(async (merchants: Merchant[]) => {
  const merchant = inTurn(merchants);
  const [from, to] = twoWallets(ACCOUNTS);
  const posting = { merchant: merchant.id, ref: `posting-${arrival()}`, from, to, amount: 1 + random(10_000) };
  const { kind, answer } = await postNoted(merchant, posting);
  if (kind !== 'done' || Math.random() >= RETRIED) return;
  const again = await askOnce(world, requestOf(posting, merchant.key), { status: 201 });
  if (again.kind === 'done') hold(again.answer.body === answer.body, 'the same key gives the same answer', posting.ref);
});

export const teardown = client(async (merchants: Merchant[]) => {
  await verify(merchants);
});
