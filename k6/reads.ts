/**
 * Nine reads to one posting: balances of the cache, strong and bounded ones, statements, lists, single transactions. Whoever posts reads
 * back at once, and no client ever sees an older version of an account than one that it was told before: else the read was stale.
 *
 *   npm run k6 -- reads -e RATE=500 -e DURATION=30s -e MERCHANTS=20
 */
import { Counter } from 'k6/metrics';
import { askOnce, nameOf } from './lib/client.ts';
import { jsonOf } from './lib/contract.ts';
import { openMerchants, random, twoWallets } from './lib/merchants.ts';
import type { Merchant } from './lib/postings.ts';
import { arrival, begin, client, hold, inTurn, optionsOf, postNoted, verify } from './lib/run.ts';
import { durationOf, numberOf } from './lib/settings.ts';
import { world } from './lib/world.ts';

const RATE = numberOf('RATE', 300, 60);
const SECONDS = durationOf('30s', '8s');
const MERCHANTS = numberOf('MERCHANTS', 20, 4);
const WALLETS = 5;
const POSTED_OF_TEN = 1;

const sources = new Counter('balances_read');

export const options = optionsOf(
  { rate: RATE, seconds: SECONDS, bounded: ['POST /transactions', 'GET /accounts/{id}/balance', 'GET /transactions'] },
  // A cache that answered nothing proves nothing.
  { thresholds: { 'balances_read{source:cache}': ['count>0'], 'balances_read{source:database}': ['count>0'] } },
);

export function setup(): Promise<Merchant[]> {
  begin();
  return openMerchants('reads', MERCHANTS, { wallets: WALLETS });
}

interface Balance {
  readonly account_id: string;
  readonly version: string;
  readonly source: string;
}

/** By account: the newest version that this client was told, and a transaction of it. */
const known: Record<string, { version: bigint; transaction: string }> = {};

export const load = client(async (merchants: Merchant[]) => {
  const merchant = inTurn(merchants);
  if (arrival() % 10 < POSTED_OF_TEN) await postAndReadBack(merchant);
  else await read(merchant);
});

async function postAndReadBack(merchant: Merchant): Promise<void> {
  const [from, to] = twoWallets(WALLETS);
  const posting = { merchant: merchant.id, ref: `read-${arrival()}`, from, to, amount: 1 + random(1_000) };
  const { kind, answer } = await postNoted(merchant, posting);
  if (kind !== 'done') return;
  const { id, balances = [] } = jsonOf<{ id: string; balances: Balance[] }>(answer.body) ?? { id: '' };
  for (const { account_id, version } of balances)
    known[`${merchant.id} ${account_id}`] = { version: BigInt(version), transaction: id };
  for (const { account_id } of balances) await readBalance(merchant, account_id, 'cached');
}

async function read(merchant: Merchant): Promise<void> {
  const [of, { transaction }] = someone(merchant) ?? [undefined, { transaction: '' }];
  const path = `/v1/accounts/${of}`;
  const what = of === undefined ? 9 : random(10);
  if (what < 5) await readBalance(merchant, of as string, 'cached');
  else if (what < 6) await readBalance(merchant, of as string, 'strong');
  else if (what < 7) await readBounded(merchant, of as string);
  else if (what < 8) await get(merchant, `${path}/entries?limit=20`);
  else if (what < 9) await get(merchant, `/v1/transactions/${transaction}`);
  else await get(merchant, '/v1/transactions?limit=20');
}

/** An account of the merchant's that this client knows. */
function someone(merchant: Merchant) {
  const own = Object.entries(known).filter(([key]) => key.startsWith(`${merchant.id} `));
  const [key, newest] = own[random(own.length)] ?? [];
  return key === undefined || !newest ? undefined : ([key.split(' ')[1], newest] as const);
}

async function get({ key }: Merchant, path: string): Promise<string | undefined> {
  const { kind, answer } = await askOnce(
    world,
    { method: 'GET', path, key, name: nameOf('GET', path) },
    { status: 200 },
  );
  return kind === 'done' ? answer.body : undefined;
}

/** From this process' memory, perhaps: as old as it may be, and no older than what is asked for. */
async function readBounded(merchant: Merchant, account: string): Promise<void> {
  const version = known[`${merchant.id} ${account}`]?.version ?? 0n;
  await seen(merchant, account, `/v1/accounts/${account}/balance?consistency=bounded&min_version=${version}`);
}

async function readBalance(merchant: Merchant, account: string, consistency: 'cached' | 'strong'): Promise<void> {
  await seen(merchant, account, `/v1/accounts/${account}/balance?consistency=${consistency}`);
}

async function seen(merchant: Merchant, account: string, path: string): Promise<void> {
  const newest = known[`${merchant.id} ${account}`];
  const body = await get(merchant, path);
  if (body === undefined || !newest) return;
  const { version, source } = jsonOf<Balance>(body) ?? { version: '-1', source: 'none' };
  sources.add(1, { source });
  hold(BigInt(version) >= newest.version, 'no read is stale', `${path}: version ${version}, after ${newest.version}`);
  if (BigInt(version) > newest.version) newest.version = BigInt(version);
}

export const teardown = client(async (merchants: Merchant[]) => {
  await verify(merchants);
});
