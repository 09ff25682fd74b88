/**
 * Crowds: CROWD clients send one posting at once, with one key; then as many read one account that nobody has read before. All of a crowd
 * must be told the same, the posting must be there once, and no reader may see less than what was posted.
 *
 *   npm run k6 -- stampede -e RATE=4 -e CROWD=50 -e DURATION=30s
 */
import { Counter } from 'k6/metrics';
import { ask, nameOf, type Request, type Told } from './lib/client.ts';
import { jsonOf } from './lib/contract.ts';
import { inOrder, openMerchants, openWallet, wallet } from './lib/merchants.ts';
import { type Merchant, type Posting, requestOf } from './lib/postings.ts';
import { arrival, begin, client, hold, inTurn, noteAll, optionsOf, verify } from './lib/run.ts';
import { durationOf, numberOf } from './lib/settings.ts';
import { world } from './lib/world.ts';

/** Crowds a second, and twice as many at the peak: 400 requests. Two cores that k6 shares do not hold a thousand. */
const RATE = numberOf('RATE', 2, 2);
const SECONDS = durationOf('30s', '8s');
const CROWD = numberOf('CROWD', 50, 30);
const MERCHANTS = numberOf('MERCHANTS', 4, 2);
/** Of a merchant: each crowd has a cold one. */
const ACCOUNTS = Math.ceil((2.5 * RATE * SECONDS) / MERCHANTS) + 2;
const PAYER = ACCOUNTS;

const sources = new Counter('balances_read');

export const options = optionsOf({
  rate: RATE,
  seconds: SECONDS,
  isRamping: true,
  bounded: ['POST /transactions', 'GET /accounts/{id}/balance'],
});

interface Shop extends Merchant {
  /** Ids of its wallets. */
  readonly wallets: readonly string[];
}

export async function setup(): Promise<Shop[]> {
  begin();
  const merchants = await openMerchants('stampede', MERCHANTS, { wallets: 0 });
  return inOrder(MERCHANTS, async (n) => {
    const merchant = merchants[n] as Merchant;
    const wallets = await inOrder(ACCOUNTS + 1, (at) => openWallet(merchant, at));
    return { ...merchant, wallets: wallets.map(({ id }) => id) };
  });
}

export const load = client(async (shops: Shop[]) => {
  const shop = inTurn(shops);
  const n = Math.floor(arrival() / shops.length) % ACCOUNTS;
  const posting = {
    merchant: shop.id,
    ref: `crowd-${arrival()}`,
    from: wallet(PAYER),
    to: wallet(n),
    amount: 1 + (n % 100),
  };
  const id = await postTogether(shop, posting);
  if (id !== undefined) await readTogether(shop, shop.wallets[n] as string);
});

/** The id that all of them were told. */
async function postTogether({ key }: Shop, posting: Posting): Promise<string | undefined> {
  const told = await together(requestOf(posting, key), 201);
  const done = told.filter(({ kind }) => kind === 'done');
  const bodies = new Set(done.map(({ answer }) => answer.body));
  const id = jsonOf<{ id: string }>(done[0]?.answer.body ?? '')?.id;
  noteAll([{ ...posting, outcome: id === undefined ? 'open' : 'acknowledged', ...(id !== undefined && { id }) }]);
  if (id !== undefined)
    hold(bodies.size === 1, 'a crowd with one key is told one thing', `${posting.ref}: ${bodies.size}`);
  return id;
}

async function readTogether({ key }: Shop, account: string): Promise<void> {
  const path = `/v1/accounts/${account}/balance`;
  for (const { kind, answer } of await together({ method: 'GET', path, key, name: nameOf('GET', path) }, 200)) {
    if (kind !== 'done') continue;
    const { version = '0', source = '' } = jsonOf<{ version: string; source: string }>(answer.body) ?? {};
    sources.add(1, { source });
    hold(BigInt(version) >= 1n, 'no read is stale', `${path}: version ${version}, after its first posting`);
  }
}

function together(request: Request, status: number): Promise<Told[]> {
  return Promise.all(Array.from({ length: CROWD }, () => ask(world, request, { status })));
}

export const teardown = client(async (shops: Shop[]) => {
  await verify(shops);
});
