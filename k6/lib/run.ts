import { check } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import type { Options, Scenario } from 'k6/options';
import { KINDS } from './contract.ts';
import type { Beside, Finding } from './judge.ts';
import { note, notedOf } from './notes.ts';
import { type Merchant, type Noted, type Posting, post } from './postings.ts';
import { numberOf } from './settings.ts';
import { type Verdict, verifyMerchant } from './verify.ts';
import { countFromZero, world } from './world.ts';

/** What every scenario is made of: a load that arrives at a rate whatever is answered, thresholds, and a verification when it is over. */

const acknowledged = new Counter('postings_acknowledged');
const verified = new Counter('postings_verified');
const resolved = new Counter('postings_resolved');
/** Anything that a ledger must never do. */
export const broken = new Counter('ledger_broken');

/** Requests in flight at most: arrivals beyond that are k6's `dropped_iterations`. */
const VUS = numberOf('VUS', 128);
/** Bounds of the load's own requests, which two cores hold; whoever knows the machine says better ones. The smoke form's hold beside other work. */
const P99_MS = numberOf('P99_MS', 2_000, 5_000);
const P999_MS = numberOf('P999_MS', 5_000, 10_000);
const AMBIGUOUS = numberOf('AMBIGUOUS', 0.01);
/** For clients to come to their end when the load is over: one that is cut off would not write down what it was told. */
const LAST = '10m';
/** Of the arrivals. */
const DROPPED = numberOf('DROPPED', 0.05, 0.25);

export interface Load {
  /** Arrivals a second. */
  readonly rate: number;
  readonly seconds: number;
  /** From a tenth to twice the rate and back, in place of an even one. */
  readonly isRamping?: boolean;
  /** Names of requests whose latencies are bounded. */
  readonly bounded: readonly string[];
  /** Share of answers that may say no. */
  readonly refused?: number;
}

type Thresholds = Record<string, string[]>;

/** Each kind is shown, and no answer is wrong. */
export const ANSWERS: Thresholds = {
  ...Object.fromEntries(KINDS.map((kind) => [`answers{kind:${kind}}`, ['count>=0']])),
  'answers{kind:wrong}': ['count==0'],
};

export function optionsOf(
  load: Load,
  more: { scenarios?: Record<string, Scenario>; thresholds?: Thresholds } = {},
): Options {
  const { rate, seconds, refused = 0.01 } = load;
  return {
    scenarios: { load: arrivals(load), ...more.scenarios },
    thresholds: {
      checks: ['rate==1'],
      ledger_broken: ['count==0'],
      ...ANSWERS,
      answers_refused: [`rate<=${numberOf('REFUSED', refused)}`],
      answers_ambiguous: [`rate<=${AMBIGUOUS}`],
      postings_verified: ['count>0'],
      dropped_iterations: [`count<=${Math.ceil(rate * seconds * DROPPED)}`],
      ...Object.fromEntries(load.bounded.map((name) => [durationOf(name), [`p(99)<${P99_MS}`, `p(99.9)<${P999_MS}`]])),
      ...more.thresholds,
    },
    setupTimeout: '10m',
    teardownTimeout: '60m',
    summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max', 'count'],
  };
}

const durationOf = (name: string): string => `http_req_duration{scenario:load,name:${name}}`;

export function arrivals({ rate, seconds, isRamping = false }: Pick<Load, 'rate' | 'seconds' | 'isRamping'>): Scenario {
  const clients = { preAllocatedVUs: VUS, maxVUs: VUS, exec: 'load', gracefulStop: LAST };
  if (!isRamping) return { executor: 'constant-arrival-rate', rate, duration: `${seconds}s`, ...clients };
  const stage = (target: number, share: number) => ({
    target: Math.ceil(target),
    duration: `${Math.ceil(seconds * share)}s`,
  });
  // The mean of these is about the rate.
  const stages = [stage(rate, 0.2), stage(2 * rate, 0.3), stage(rate / 10, 0.1), stage(rate, 0.4)];
  return { executor: 'ramping-arrival-rate', startRate: Math.ceil(rate / 10), timeUnit: '1s', stages, ...clients };
}

/** At the head of each setup. */
export function begin(): void {
  broken.add(0);
  countFromZero();
}

/** This arrival, among all of the load. */
export const arrival = (): number => exec.scenario.iterationInTest;

/** What `make` answers for the merchant whose turn it is. */
export function inTurn<T>(items: readonly T[]): T {
  return items[arrival() % items.length] as T;
}

/** What a client does. One that throws would be a line in k6's log, and no more. */
export function client<Run>(work: (run: Run) => Promise<void>): (run: Run) => Promise<void> {
  return (run) => work(run).catch((error: Error) => void hold(false, 'a client comes to its end', String(error.stack)));
}

/** Sends it until the answer is definite, and writes down what became of it. */
export async function postNoted(merchant: Merchant, posting: Posting, refusals?: readonly string[]) {
  const told = await post(world, merchant, posting, refusals);
  noteAll([told.noted]);
  return told;
}

export function noteAll(postings: readonly Noted[]): void {
  note({ postings });
  acknowledged.add(postings.filter(({ outcome }) => outcome === 'acknowledged').length);
}

/** One check by rule, so that the summary names the rules; what was found is printed. */
export function hold(isSo: boolean, rule: string, what: string): boolean {
  if (check(isSo, { [rule]: (so) => so })) return true;
  broken.add(1);
  console.error(`BROKEN ${rule}: ${what}`);
  return false;
}

export function tellFindings(findings: readonly Finding[]): void {
  for (const { rule, what } of findings) hold(false, rule, what);
}

/** The books of each, against what was noted. */
export async function verify(
  merchants: readonly Merchant[],
  beside: Beside & { refusals?: readonly string[] } = {},
): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const merchant of merchants) {
    const verdict = await verifyMerchant(world, merchant, notedOf(merchant.id), beside);
    tellFindings(verdict.findings);
    check(verdict, { "a merchant's books are right": ({ findings }) => findings.length === 0 });
    verified.add(verdict.acknowledged);
    resolved.add(verdict.resolved);
    verdicts.push(verdict);
  }
  return verdicts;
}
