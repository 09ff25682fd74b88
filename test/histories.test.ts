import { afterAll, beforeAll, expect, test } from 'vitest';
import { FAULT_MUTANTS, type FaultMutant } from '../scripts/mutants/faults.mjs';
import type { Sort } from './histories/faults.js';
import { addRecorder } from './histories/recorder.js';
import { countSorts, type Hit, hitOf, reportOf } from './histories/report.js';
import { POLICIES, type Policy, type Round, Run } from './histories/run.js';
import { Build } from './histories/servers.js';
import { Totals } from './histories/totals.js';
import { SEED as FRESH } from './support/seed.js';

/** Set by `npm run test:faults -- --minutes N --seed S --policy P --readers N --mutant NAME --excused`. */
const {
  FAULTS_MINUTES = '',
  FAULTS_SEED = '',
  FAULTS_POLICY = '',
  FAULTS_READERS = '2',
  FAULTS_MUTANT = '',
  FAULTS_EXCUSED = '',
} = process.env;
const FIXED = 20_261_121;
/** What has been begun then is done to its end. */
const SHORT_S = 5;
/** That do harm at once, each of them soon. */
const HANDS = 5;
/** What chance brings once in twenty minutes: consumer-claims.test.ts brings it each time. */
const RARER = 'claims lost';
/** Of a long run: so long until all of it is judged, so many rounds of one world of processes. */
const ROUND_S = 120;
const ROUNDS = 3;
/** What is rare takes minutes. */
const RARE_S = 180;
/** Of the faults of a long run: an hour has at least 300 kills, 120 pauses and 240 faults of the network. */
const LEAST_A_MINUTE: Partial<Record<Sort, number>> = { kill: 5, pause: 2, network: 4 };
/** Compiling, starting, recovering, settling and judging. */
const AROUND_MS = 400_000;
/** A planted bug must show within so many rounds; some of them need a rare meeting. */
const MUTANT_ROUNDS = 10;
const MUTANT_S = 30;
/** Of what a planted bug shows: so many lines, and of each so much. */
const SHOWN = 5;
const SHOWN_LENGTH = 400;

interface Plan {
  readonly policy: Policy;
  readonly rounds: readonly Round[];
}

/** `npm test`: a seed that is always the same, and one that never is. */
const short: readonly Plan[] = [{ policy: 'available', rounds: [{ seconds: SHORT_S, seeds: [FIXED, FRESH] }] }];

function long(minutes: number, seed: number): Plan[] {
  const policies = POLICIES.filter((policy) => FAULTS_POLICY === '' || FAULTS_POLICY === policy);
  const rounds = Math.max(1, Math.round((minutes * 60) / ROUND_S));
  const seconds = (minutes * 60) / rounds;
  const all = Array.from({ length: rounds }, (_, number) => ({ seconds, seeds: [seed + number] }));
  return Array.from({ length: Math.ceil(rounds / ROUNDS) }, (_, world) => ({
    policy: policies[world % policies.length] as Policy,
    rounds: all.slice(world * ROUNDS, (world + 1) * ROUNDS),
  }));
}

function build(mutant: FaultMutant | undefined): Build {
  const made = new Build(mutant);
  addRecorder(made);
  return made;
}

function right(): void {
  const plans = FAULTS_MINUTES === '' ? short : long(Number(FAULTS_MINUTES), Number(FAULTS_SEED));
  const totals = new Totals();
  let services: Build;
  beforeAll(() => {
    services = build(undefined);
  });
  afterAll(() => services.remove());
  test.each(plans.map((plan) => ({ ...plan, seeds: plan.rounds.flatMap(({ seeds }) => seeds).join(', ') })))(
    'whatever is killed, paused, filled, cut off or slow: nothing acknowledged is lost, nothing is done twice, no read is stale ($policy, seeds $seeds)',
    async ({ policy, rounds }) => {
      const run = await Run.start(services, {
        seed: rounds[0]?.seeds[0] as number,
        policy,
        readers: Number(FAULTS_READERS),
      });
      try {
        let seconds = 0;
        for (const [index, round] of rounds.entries()) {
          const outcome = await run.round(round);
          seconds += lengthOf(round);
          const hit = hitOf(run, outcome);
          totals.add(run, { seconds, rounds: index + 1, hit, outcome });
          process.stdout.write(`${reportOf(run, outcome)}\n${totals.text()}\n`);
          if (FAULTS_EXCUSED) for (const { text } of outcome.verdict.excused) process.stdout.write(`${text}\n`);
          for (const line of outcome.offences) process.stdout.write(`${line}\n`);
          expect(outcome.offences).toEqual([]);
          expectHits(hit, seconds);
        }
      } catch (error) {
        // Vitest tells of it when all worlds are through.
        process.stdout.write(`this world broke off: ${(error as Error).stack}\n`);
        throw error;
      } finally {
        await run.end();
      }
    },
    longestMs(plans),
  );
  if (plans.flatMap(({ rounds }) => rounds).reduce((sum, round) => sum + lengthOf(round), 0) >= RARE_S)
    test('nothing was spared', () => expectAll(totals));
}

/** Nothing is shown by a run in which nothing happened. */
function expectHits(hit: Hit, seconds: number): void {
  expect.soft(hit.faults.length).toBeGreaterThan(Math.max(HANDS, seconds / 5));
  // A machine that others use as well does a tenth of what it can.
  expect.soft(hit.reads).toBeGreaterThan(seconds * 5);
  expect.soft(hit.acknowledgements).toBeGreaterThan(seconds);
  const often = ['lives', 'events', 'followed', 'webhooks', 'ambiguous', 'daysSettled'] as const;
  for (const what of often) expect.soft([what, hit[what] > 0]).toEqual([what, true]);
}

function expectAll({ seconds, faults, counts, kinds }: Totals): void {
  for (const [what, count] of counts) if (what !== RARER) expect.soft([what, count > 0]).toEqual([what, true]);
  for (const kind of ['transfer', 'hold', 'capture', 'void', 'reverse', 'expiry'])
    expect.soft([kind, (kinds.get(kind) ?? 0) > seconds / 60]).toEqual([kind, true]);
  const sorts = countSorts(faults);
  for (const [sort, aMinute] of Object.entries(LEAST_A_MINUTE))
    expect.soft([sort, (sorts.get(sort as Sort) ?? 0) >= (aMinute * seconds) / 60]).toEqual([sort, true]);
}

function planted(mutants: readonly FaultMutant[]): void {
  test.each(mutants)(
    'the planted bug is caught: $name',
    async (mutant) => {
      const services = build(mutant);
      const { policy = 'available', shows = 'stale' } = mutant;
      const readers = Number(FAULTS_READERS);
      let [found, rounds] = [0, 0];
      try {
        while (found === 0 && rounds < MUTANT_ROUNDS) {
          const seed = Number(FAULTS_SEED) + rounds;
          const run = await Run.start(services, { seed, policy, readers });
          try {
            const { verdict, offences } = await run.round({ seconds: MUTANT_S, seeds: [seed] });
            found += { stale: verdict.stale, wrong: verdict.wrong, offences }[shows].length;
            for (const line of offences.slice(0, SHOWN)) process.stdout.write(`${line.slice(0, SHOWN_LENGTH)}\n`);
          } finally {
            await run.end();
          }
          rounds += 1;
        }
        process.stdout.write(
          `${found > 0 ? 'caught' : 'SURVIVED'}  ${mutant.name}: ${found} ${shows} in ${rounds} × ${MUTANT_S} s\n`,
        );
        expect(found).toBeGreaterThan(0);
      } finally {
        services.remove();
      }
    },
    MUTANT_ROUNDS * (MUTANT_S * 1_000 + AROUND_MS),
  );
}

const lengthOf = ({ seconds, seeds }: Round): number => seconds * seeds.length;

function longestMs(plans: readonly Plan[]): number {
  return Math.max(
    ...plans.map(({ rounds }) => rounds.reduce((sum, round) => sum + lengthOf(round) * 1_000 + AROUND_MS, 0)),
  );
}

if (FAULTS_MUTANT === '') right();
else planted(FAULT_MUTANTS.filter(({ name }) => FAULTS_MUTANT === 'all' || FAULTS_MUTANT.split(',').includes(name)));
