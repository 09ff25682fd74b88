/**
 * Payments whose providers tell of them late, three times, shuffled, from several connections at once, alone and in batches; some
 * facts come only when everything else is over. Afterwards every payment is asked for: it must have ended where its own story says
 * (an oracle that read the story in the order in which it happened), and so must every account, whatever came first.
 * What was ambiguous (a cut connection, 503, 504) is sent again. An answer outside the contract fails the run.
 *
 *   npm run k6 -- out-of-order -e LIVES=2000 -e MERCHANTS=20 -e VUS=32
 *   npm run k6 -- out-of-order -e LIVES=40 -e MERCHANTS=2 -e VUS=4          (the smoke form: seconds)
 */
import exec from 'k6/execution';
import { shuffled, withEchoes } from '../apps/provider-simulator/src/arrivals.ts';
import { type Life, liveALife, type ProviderFact } from '../apps/provider-simulator/src/life.ts';
import { Random } from '../apps/provider-simulator/src/random.ts';
import { broken, type Merchant, openMerchant, verifyBooks } from './lib/counterfoil.ts';
import { type Message, tell, tellBatch, verifyBalances, verifyLife } from './lib/payments.ts';

const LIVES = Number(__ENV.LIVES || 1_000);
const MERCHANTS = Number(__ENV.MERCHANTS || 20);
const VUS = Number(__ENV.VUS || 32);
/** How often each fact is told; each time by another client, at about the same time. */
const COPIES = Number(__ENV.COPIES || 3);
/** How far, counted in messages, one may come from its place. */
const WINDOW = Number(__ENV.WINDOW || 100);
/** Of the facts, how many nobody tells before all else is over. */
const DROPPED = Number(__ENV.DROPPED || 0.05);
/** Of the facts, how many are told by a second event as well. */
const ECHOES = Number(__ENV.ECHOES || 0.1);
/** Of the payments that a merchant may open itself, how many are. */
const OPENED = Number(__ENV.OPENED || 0.5);
/** Facts in a request of the batch route, at most. */
const BATCH = Number(__ENV.BATCH || 100);

/** Payments that a client tells of together. All of one merchant. */
const GROUP = 10;
const GROUPS = Math.ceil(LIVES / GROUP);
const CURRENCIES = ['EUR', 'JPY', 'KWD'];
const HOUR_MS = 3_600_000;

export const options = {
  scenarios: {
    // Neighbours tell of the same payments: the copies of a fact race each other.
    tell: { executor: 'shared-iterations', vus: VUS, iterations: GROUPS * COPIES, maxDuration: '60m', exec: 'telling' },
  },
  thresholds: {
    checks: ['rate==1'],
    ledger_broken: ['count==0'],
    lives_verified: [`count==${GROUPS * GROUP}`],
    iterations: [`count==${GROUPS * COPIES}`],
    // Each is shown; that facts are parked and come twice is what this is about.
    'facts_outcomes{outcome:applied}': ['count>0'],
    'facts_outcomes{outcome:duplicate}': ['count>0'],
    'facts_outcomes{outcome:stale}': ['count>0'],
    'facts_outcomes{outcome:parked}': ['count>0'],
    'http_req_duration{name:POST /provider_events}': ['p(99)>=0'],
    'http_req_duration{name:POST /provider_events/batch}': ['p(99)>=0'],
  },
  setupTimeout: '5m',
  teardownTimeout: '30m',
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

interface Run {
  seed: string;
  merchants: Merchant[];
  sinceMs: number;
}

export function setup(): Run {
  broken.add(0);
  // Drawn here: every VU reads this file anew.
  const seed = __ENV.SEED || String(Date.now());
  console.log(`SEED=${seed} repeats this run's payments`);
  const merchants = Array.from({ length: MERCHANTS }, (_, n) =>
    openMerchant(`k6 out of order ${seed}-${n}`, 0, [currencyOf(n)]),
  );
  return { seed, merchants, sinceMs: Date.now() - 12 * HOUR_MS };
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
  for (const fact of facts) (random.chance(DROPPED) ? dropped : told).push({ fact });
  return { told, dropped };
}

export function telling(run: Run): void {
  const iteration = exec.scenario.iterationInTest;
  const [group, copy] = [Math.floor(iteration / COPIES), iteration % COPIES];
  const lives = livesOf(run, group);
  const opened: Message[] = lives.filter(({ opening }) => opening).map((open) => ({ open }));
  const { told } = withoutDropped(run, factsOf(run, lives, group), group);
  const random = new Random(run.seed, group, 'copy', copy);
  const messages = shuffled([...opened, ...told], WINDOW, random);
  const merchant = merchantOf(run, group);
  if (copy % 2 === 0) for (const message of messages) tell(merchant, message);
  else for (const batch of cut(messages, random)) tellBatch(merchant, batch);
}

/** Into requests of one to BATCH messages. */
function cut(messages: readonly Message[], random: Random): Message[][] {
  const batches: Message[][] = [];
  for (let at = 0; at < messages.length; at += batches.at(-1)?.length ?? 0)
    batches.push(messages.slice(at, at + random.between(1, BATCH)));
  return batches;
}

/** What was dropped comes now, the latest of all. Then everything must be true. */
export function teardown(run: Run): void {
  const groups = Array.from({ length: GROUPS }, (_, group) => ({ group, lives: livesOf(run, group) }));
  for (const { group, lives } of groups) {
    const facts = factsOf(run, lives, group);
    for (const message of withoutDropped(run, facts, group).dropped) tell(merchantOf(run, group), message);
    for (const life of lives) {
      const told = facts.filter(({ payment_ref }) => payment_ref === life.ref);
      verifyLife(merchantOf(run, group), life, told);
    }
  }
  for (const [n, merchant] of run.merchants.entries()) {
    const own = groups.filter(({ group }) => group % MERCHANTS === n).flatMap(({ lives }) => lives);
    verifyBalances(merchant, currencyOf(n), own);
    verifyBooks(merchant);
  }
}
