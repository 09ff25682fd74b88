/**
 * A bit of everything, for as long as you like: postings, reads, holds that are captured and voided, batches, and one follower of each merchant.
 * Latencies of the first and of the last third are told apart, and so is the memory of the process that answers: what gets worse with time shows.
 *
 *   npm run k6 -- soak -e DURATION=1h -e RATE=50
 */
import exec from 'k6/execution';
import http from 'k6/http';
import { Trend } from 'k6/metrics';
import { askOnce } from './lib/client.ts';
import { follow, LATEST_S, verifyFollowers } from './lib/follow.ts';
import { openMerchants, random, twoWallets } from './lib/merchants.ts';
import { type Merchant, type Posting, postBatch } from './lib/postings.ts';
import { arrival, begin, client, inTurn, noteAll, optionsOf, postNoted, verify } from './lib/run.ts';
import { durationOf, numberOf, URL } from './lib/settings.ts';
import { world } from './lib/world.ts';

const RATE = numberOf('RATE', 50, 40);
const SECONDS = durationOf('30m', '15s');
const MERCHANTS = numberOf('MERCHANTS', 10, 3);
const WALLETS = 10;
const BATCH = 20;
const LOOK_S = Math.max(1, SECONDS / 60);
const HELD = 100;
const CAPTURED = 60;

const memory = new Trend('api_memory_mib');

const bounds = ['p(99)>=0', 'p(99.9)>=0'];
export const options = optionsOf(
  { rate: RATE, seconds: SECONDS, bounded: ['POST /transactions', 'POST /transactions/batch', 'GET /transactions'] },
  {
    scenarios: {
      follow: {
        executor: 'per-vu-iterations',
        vus: MERCHANTS,
        maxDuration: `${SECONDS + LATEST_S}s`,
        exec: 'following',
      },
      watch: { executor: 'per-vu-iterations', vus: 1, maxDuration: `${SECONDS + LATEST_S}s`, exec: 'watching' },
    },
    thresholds: {
      'http_req_duration{name:POST /transactions,third:first}': bounds,
      'http_req_duration{name:POST /transactions,third:last}': bounds,
      'api_memory_mib{third:first}': ['max>=0'],
      'api_memory_mib{third:last}': ['max>=0'],
    },
  },
);

export function setup(): Promise<Merchant[]> {
  begin();
  return openMerchants('soak', MERCHANTS, { wallets: WALLETS });
}

const ofTwenty = (n: number): ((merchant: Merchant, posting: Posting) => Promise<unknown>) => {
  if (n < 11) return postNoted;
  if (n < 16) return read;
  return n < 19 ? holdAndEnd : batch;
};

export const load = client(async (merchants: Merchant[]) => {
  exec.vu.metrics.tags.third = third();
  const merchant = inTurn(merchants);
  const [from, to] = twoWallets(WALLETS);
  const posting = { merchant: merchant.id, ref: `soak-${arrival()}`, from, to, amount: 1 + random(10_000) };
  await ofTwenty(random(20))(merchant, posting);
});

function third(): string {
  const share = (Date.now() - exec.scenario.startTime) / (SECONDS * 1_000);
  return ['first', 'second'][Math.floor(share * 3)] ?? 'last';
}

function read({ key }: Merchant): Promise<unknown> {
  const request = { method: 'GET', path: '/v1/transactions?limit=50', key, name: 'GET /transactions' } as const;
  return askOnce(world, request, { status: 200 });
}

async function holdAndEnd(merchant: Merchant, posting: Posting): Promise<void> {
  const { noted } = await postNoted(merchant, { ...posting, amount: HELD, effect: { kind: 'hold' } });
  if (noted.id === undefined) return;
  const end = { parent: noted.id, held: HELD };
  const kind = random(2) === 0 ? 'capture' : 'void';
  await postNoted(merchant, { ...posting, ref: `${posting.ref}-end`, amount: CAPTURED, effect: { kind, ...end } });
}

async function batch(merchant: Merchant, posting: Posting): Promise<void> {
  const batch = { ref: posting.ref, mode: 'atomic' } as const;
  const postings = Array.from({ length: BATCH }, (_, n) => ({ ...posting, ref: `${posting.ref}-${n}`, batch }));
  noteAll((await postBatch(world, merchant, postings)).noted);
}

export const following = client(async (merchants: Merchant[]) => {
  const loadEndsMs = exec.scenario.startTime + SECONDS * 1_000;
  await follow(world, inTurn(merchants), `follower ${arrival()}`, loadEndsMs);
});

/** Where whoever asks may: METRICS_ALLOW. */
export const watching = client(async () => {
  for (const endsMs = exec.scenario.startTime + SECONDS * 1_000; Date.now() < endsMs; ) {
    const { status, body } = http.get(`${URL}/metrics`, { tags: { name: 'GET /metrics' } });
    const [, bytes] = (status === 200 && /^process_resident_memory_bytes(?:\{.*?\})? (\S+)/m.exec(String(body))) || [];
    if (bytes !== undefined) memory.add(Number(bytes) / 1_048_576, { third: third() });
    await world.pause(LOOK_S * 1_000);
  }
});

export const teardown = client(async (merchants: Merchant[]) => {
  const verdicts = await verify(merchants);
  for (const [n, verdict] of verdicts.entries()) verifyFollowers(merchants[n] as Merchant, verdict, 1);
});
