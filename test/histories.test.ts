import { afterAll, beforeAll, expect, test } from 'vitest';
import { FAULT_MUTANTS, type FaultMutant } from '../scripts/mutants/faults.mjs';
import { addRecorder } from './histories/recorder.js';
import { type Hit, hitOf, reportOf } from './histories/report.js';
import { POLICIES, type Policy, Run } from './histories/run.js';
import { Build } from './histories/servers.js';
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
const SHORT_S = 9;
/** Of a long run: so long until all of it is judged, so many rounds of one world of processes. */
const ROUND_S = 60;
const ROUNDS = 3;
/** Compiling, starting, recovering, settling and judging. */
const AROUND_MS = 240_000;
/** A planted bug must show within so many rounds; some of them need a rare meeting. */
const MUTANT_ROUNDS = 10;
const MUTANT_S = 30;

interface Plan {
  readonly policy: Policy;
  readonly rounds: readonly { readonly seconds: number; readonly seed: number }[];
}

/** `npm test`: a seed that is always the same, and one that never is. */
const short: readonly Plan[] = [
  { policy: 'available', rounds: [FIXED, FRESH].map((seed) => ({ seconds: SHORT_S, seed })) },
];

function long(minutes: number, seed: number): Plan[] {
  const policies = POLICIES.filter((policy) => FAULTS_POLICY === '' || FAULTS_POLICY === policy);
  const rounds = Math.max(1, Math.round((minutes * 60) / ROUND_S));
  const seconds = (minutes * 60) / rounds;
  const all = Array.from({ length: rounds }, (_, number) => ({ seconds, seed: seed + number }));
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
  let services: Build;
  beforeAll(() => {
    services = build(undefined);
  });
  afterAll(() => services.remove());
  test.each(plans.map(({ policy, rounds }) => ({ policy, rounds, seeds: rounds.map(({ seed }) => seed).join(', ') })))(
    'whatever is killed, paused, filled, cut off or slow: nothing acknowledged is lost, nothing is done twice, no read is stale ($policy, seeds $seeds)',
    async ({ policy, rounds }) => {
      const run = await Run.start(services, {
        seed: rounds[0]?.seed as number,
        policy,
        readers: Number(FAULTS_READERS),
      });
      try {
        let seconds = 0;
        for (const round of rounds) {
          const outcome = await run.round(round);
          seconds += round.seconds;
          process.stdout.write(`${reportOf(run, outcome)}\n`);
          if (FAULTS_EXCUSED) for (const { text } of outcome.verdict.excused) process.stdout.write(`${text}\n`);
          for (const line of outcome.offences) process.stdout.write(`${line}\n`);
          expect(outcome.offences).toEqual([]);
          expectHits(hitOf(run, outcome), seconds);
        }
      } finally {
        await run.end();
      }
    },
    longestMs(plans),
  );
}

/** Nothing is shown by a run in which nothing happened. */
function expectHits({ faults, kinds, counted: _, ...hit }: Hit, seconds: number): void {
  expect(faults.length).toBeGreaterThan(seconds / 5);
  expect(hit.reads).toBeGreaterThan(seconds * 15);
  expect(hit.acknowledgements).toBeGreaterThan(seconds * 3);
  const often = ['lives', 'events', 'followed', 'webhooks', 'ambiguous', 'daysSettled'] as const;
  for (const what of often) expect.soft([what, hit[what] > 0]).toEqual([what, true]);
  if (seconds < ROUND_S) return;
  // What is rare takes a minute.
  for (const [what, count] of Object.entries(hit)) expect.soft([what, count > 0]).toEqual([what, true]);
  for (const kind of ['transfer', 'hold', 'capture', 'void', 'reverse', 'expiry'])
    expect.soft([kind, (kinds.get(kind) ?? 0) > seconds / 10]).toEqual([kind, true]);
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
            const { verdict, offences } = await run.round({ seconds: MUTANT_S, seed });
            found += { stale: verdict.stale, wrong: verdict.wrong, offences }[shows].length;
            process.stdout.write(`${offences.slice(0, 1)}\n`);
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

function longestMs(plans: readonly Plan[]): number {
  return Math.max(
    ...plans.map(({ rounds }) => rounds.reduce((sum, { seconds }) => sum + seconds * 1_000 + AROUND_MS, 0)),
  );
}

if (FAULTS_MUTANT === '') right();
else planted(FAULT_MUTANTS.filter(({ name }) => FAULTS_MUTANT === 'all' || FAULTS_MUTANT.split(',').includes(name)));
