/**
 * Batches of SIZE postings, atomic and independent in turn. A part of each asks for more than there is: of an independent one these items are
 * refused and the others there; of an atomic one then nothing is. Each is sent again although it was answered, now and then.
 *
 *   npm run k6 -- batch -e RATE=10 -e SIZE=100 -e DURATION=30s
 */
import { askOnce } from './lib/client.ts';
import { jsonOf } from './lib/contract.ts';
import { inOrder, openMerchants, openWallet, random, wallet } from './lib/merchants.ts';
import { batchRequest, type Merchant, type Mode, type Posting, postBatch } from './lib/postings.ts';
import { arrival, begin, client, hold, inTurn, noteAll, optionsOf, verify } from './lib/run.ts';
import { durationOf, numberOf } from './lib/settings.ts';
import { world } from './lib/world.ts';

const RATE = numberOf('RATE', 5, 3);
const SECONDS = durationOf('30s', '8s');
const SIZE = numberOf('SIZE', 100, 50);
const MERCHANTS = numberOf('MERCHANTS', 4, 2);
const WALLETS = 10;
/** Has nothing, and may not have less. */
const EMPTY = WALLETS;
/** Of the items of an independent batch, and of the atomic batches. */
const REFUSED = 0.1;
const RETRIED = 0.2;
const REFUSALS = ['insufficient_funds'];
const NAME = 'POST /transactions/batch';

export const options = optionsOf(
  { rate: RATE, seconds: SECONDS, bounded: [NAME], refused: 0.3 },
  { thresholds: { 'answers{kind:refused}': ['count>0'] } },
);

export async function setup(): Promise<Merchant[]> {
  begin();
  const merchants = await openMerchants('batch', MERCHANTS, { wallets: WALLETS });
  await inOrder(MERCHANTS, (n) => openWallet(merchants[n] as Merchant, EMPTY, '0'));
  return merchants;
}

export const load = client(async (merchants: Merchant[]) => {
  const merchant = inTurn(merchants);
  const n = arrival();
  const mode: Mode = Math.floor(n / merchants.length) % 2 === 0 ? 'atomic' : 'independent';
  const postings = itemsOf(merchant, `batch-${n}`, mode);
  const { kind, answer, noted } = await postBatch(world, merchant, postings, REFUSALS);
  noteAll(noted);
  if (kind === 'refused') holdFirst(postings, answer.body);
  if (kind !== 'done') return;
  const right = noted.filter(
    ({ outcome, from }) => (outcome === 'refused') === (from === wallet(EMPTY)) && outcome !== 'open',
  );
  hold(
    right.length === postings.length,
    'a batch is answered item by item',
    `batch-${n}: ${answer.body.slice(0, 500)}`,
  );
  if (Math.random() >= RETRIED) return;
  const again = await askOnce(world, batchRequest(merchant.key, postings), { status: 200 });
  if (again.kind === 'done')
    hold(again.answer.body === answer.body, 'the same key gives the same answer', `batch-${n}`);
});

/** Every tenth arrival or so of an atomic one has an item that is refused, somewhere; of an independent one any item may be. */
function itemsOf(merchant: Merchant, batch: string, mode: Mode): Posting[] {
  const bad = Math.random() < 3 * REFUSED ? random(SIZE) : -1;
  return Array.from({ length: SIZE }, (_, n) => {
    const isBad = mode === 'atomic' ? n === bad : Math.random() < REFUSED;
    const from = wallet(isBad ? EMPTY : n % WALLETS);
    const common = {
      merchant: merchant.id,
      ref: `${batch}-${n}`,
      amount: 1 + random(1_000),
      batch: { ref: batch, mode },
    };
    return { ...common, from, to: wallet((n + 1) % WALLETS) };
  });
}

/** A refused atomic batch names its first bad item. */
function holdFirst(postings: readonly Posting[], body: string): void {
  const first = postings.findIndex(({ from }) => from === wallet(EMPTY));
  const path = jsonOf<{ errors?: { path: string }[] }>(body)?.errors?.[0]?.path ?? '';
  hold(path.startsWith(`transactions.${first}`), 'a refused batch names its first bad item', `${path}, not ${first}`);
}

export const teardown = client(async (merchants: Merchant[]) => {
  await verify(merchants, { refusals: REFUSALS });
});
