/**
 * Payments whose providers tell of them late, three times, shuffled, from several connections at once, alone and in batches; some
 * facts come only when everything else is over. Afterwards every payment is asked for: it must have ended where its own story says
 * (an oracle that read the story in the order in which it happened), and so must every account, whatever came first.
 * What was ambiguous (a cut connection, 503, 504) is sent again. An answer outside the contract fails the run.
 *
 *   npm run k6 -- out-of-order -e LIVES=2000 -e MERCHANTS=20 -e RATE=10
 */
import { shuffled, withEchoes } from '../apps/provider-simulator/src/arrivals.ts';
import { type Life, liveALife, type ProviderFact } from '../apps/provider-simulator/src/life.ts';
import { Random } from '../apps/provider-simulator/src/random.ts';
import { inOrder, openMerchant } from './lib/merchants.ts';
import { type Message, tell, tellBatch, verifyLife, verifyPaymentBalances } from './lib/payments.ts';
import type { Merchant } from './lib/postings.ts';
import { arrival, begin, client, optionsOf, verify } from './lib/run.ts';
import { numberOf } from './lib/settings.ts';

const LIVES = numberOf('LIVES', 1_000, 40);
const MERCHANTS = numberOf('MERCHANTS', 20, 2);
/** Arrivals a second: each tells once of GROUP payments. */
const RATE = numberOf('RATE', 5, 3);
/** How often each fact is told; each time by another client, at about the same time. */
const COPIES = numberOf('COPIES', 3);
/** How far, counted in messages, one may come from its place. */
const WINDOW = numberOf('WINDOW', 100);
/** Of the facts, how many nobody tells before all else is over. */
const LATE = numberOf('LATE', 0.05);
/** Of the facts, how many are told by a second event as well. */
const ECHOES = numberOf('ECHOES', 0.1);
/** Of the payments that a merchant may open itself, how many are. */
const OPENED = numberOf('OPENED', 0.5);
/** Facts in a request of the batch route, at most. */
const BATCH = numberOf('BATCH', 100);

/** Payments that a client tells of together. All of one merchant. */
const GROUP = 10;
const GROUPS = Math.ceil(LIVES / GROUP);
const CURRENCIES = ['EUR', 'JPY', 'KWD'];
const HOUR_MS = 3_600_000;

export const options = optionsOf(
  {
    // Neighbours tell of the same payments: the copies of a fact race each other.
    rate: RATE,
    seconds: Math.ceil((GROUPS * COPIES) / RATE),
    bounded: ['POST /provider_events', 'POST /provider_events/batch'],
  },
  {
    thresholds: {
      postings_verified: ['count>=0'],
      lives_verified: [`count==${GROUPS * GROUP}`],
      // Each is shown; that facts are parked and come twice is what this is about.
      'facts_outcomes{outcome:applied}': ['count>0'],
      'facts_outcomes{outcome:duplicate}': ['count>0'],
      'facts_outcomes{outcome:stale}': ['count>0'],
      'facts_outcomes{outcome:parked}': ['count>0'],
    },
  },
);

interface Run {
  seed: string;
  merchants: Merchant[];
  sinceMs: number;
}

export async function setup(): Promise<Run> {
  begin();
  // Drawn here: every client reads this file anew.
  const seed = __ENV.SEED || String(Date.now());
  console.log(`SEED=${seed} repeats this run's payments`);
  const open = (n: number) => openMerchant(`k6 out of order ${seed}-${n}`, { wallets: 0, currencies: [currencyOf(n)] });
  return { seed, merchants: await inOrder(MERCHANTS, open), sinceMs: Date.now() - 12 * HOUR_MS };
}

const currencyOf = (group: number): string => CURRENCIES[(group % MERCHANTS) % CURRENCIES.length] as string;

const merchantOf = ({ merchants }: Run, group: number): Merchant => merchants[group % MERCHANTS] as Merchant;

/** Whoever asks for it gets the same. */
function livesOf({ seed, sinceMs }: Run, group: number): Life[] {
  return Array.from({ length: GROUP }, (_, n) => {
    const random = new Random(seed, group, n);
    const ref = `${seed}-${group}-${n}`;
    const beganMs = sinceMs + random.between(0, HOUR_MS);
    return liveALife({ ref, currency: currencyOf(group), sinceMs: beganMs, opened: OPENED }, random);
  });
}

/** All facts of a group in the order in which they happened, told once or by two events. */
function factsOf({ seed }: Run, lives: readonly Life[], group: number): ProviderFact[] {
  const facts = lives.flatMap((life) => life.facts).sort((a, b) => (a.occurred_at < b.occurred_at ? -1 : 1));
  return withEchoes(facts, ECHOES, new Random(seed, group, 'echoes'));
}

function withoutDropped(
  { seed }: Run,
  facts: readonly ProviderFact[],
  group: number,
): { told: Message[]; dropped: Message[] } {
  const random = new Random(seed, group, 'dropped');
  const [told, dropped]: [Message[], Message[]] = [[], []];
  for (const fact of facts) (random.chance(LATE) ? dropped : told).push({ fact });
  return { told, dropped };
}

export const load = client(async (run: Run) => {
  const [group, copy] = [Math.floor(arrival() / COPIES), arrival() % COPIES];
  // The last second may bring more arrivals than there are copies.
  if (group >= GROUPS) return;
  const lives = livesOf(run, group);
  const opened: Message[] = lives.filter(({ opening }) => opening).map((open) => ({ open }));
  const { told } = withoutDropped(run, factsOf(run, lives, group), group);
  const random = new Random(run.seed, group, 'copy', copy);
  const messages = shuffled([...opened, ...told], WINDOW, random);
  const merchant = merchantOf(run, group);
  if (copy % 2 === 0) for (const message of messages) await tell(merchant, message);
  else for (const batch of cut(messages, random)) await tellBatch(merchant, batch);
});

/** Into requests of one to BATCH messages. */
function cut(messages: readonly Message[], random: Random): Message[][] {
  const batches: Message[][] = [];
  for (let at = 0; at < messages.length; at += batches.at(-1)?.length ?? 0)
    batches.push(messages.slice(at, at + random.between(1, BATCH)));
  return batches;
}

/** What was left out comes now, the latest of all, and with it once more what came: then everything must be true. */
export const teardown = client(async (run: Run) => {
  const groups = Array.from({ length: GROUPS }, (_, group) => ({ group, lives: livesOf(run, group) }));
  for (const { group, lives } of groups) {
    const facts = factsOf(run, lives, group);
    const opened: Message[] = lives.filter(({ opening }) => opening).map((open) => ({ open }));
    const { told, dropped } = withoutDropped(run, facts, group);
    for (const message of dropped) await tell(merchantOf(run, group), message);
    await tellBatch(merchantOf(run, group), [...opened, ...told]);
    for (const life of lives) {
      const own = facts.filter(({ payment_ref }) => payment_ref === life.ref);
      await verifyLife(merchantOf(run, group), life, own);
    }
  }
  const verdicts = await verify(run.merchants, { isOther: () => true });
  for (const [n, { books }] of verdicts.entries()) {
    const own = groups.filter(({ group }) => group % MERCHANTS === n).flatMap(({ lives }) => lives);
    verifyPaymentBalances(books, currencyOf(n), own);
  }
});
