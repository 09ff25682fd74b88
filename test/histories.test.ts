import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { MUTANTS, type Mutant } from './histories/mutants.js';
import { type Outcome, POLICIES, type Policy, runHistories } from './histories/run.js';
import { Build } from './histories/servers.js';
import { freshDatabase } from './support/database.js';

/** Set by `npm run test:histories -- --minutes N --seed S --policy P --readers N --mutant NAME --excused`. */
const {
  HISTORIES_MINUTES = '0.4',
  HISTORIES_SEED = '20261121',
  HISTORIES_POLICY = '',
  HISTORIES_READERS = '2',
  HISTORIES_MUTANT = '',
  HISTORIES_EXCUSED = '',
} = process.env;
const SEED = Number(HISTORIES_SEED);
const MINUTES = Number(HISTORIES_MINUTES);
/** Compiling, starting, recovering, settling and judging. */
const AROUND_MS = 120_000;
/** A planted bug must show within so many rounds; some of them need a rare meeting. */
const MUTANT_ROUNDS = 10;

async function run(build: Build, options: { seconds: number; seed: number; policy: Policy }): Promise<Outcome> {
  const on = await freshDatabase();
  try {
    const outcome = await runHistories(build, {
      ownerUrl: on.ownerUrl,
      runtimeUrl: on.runtimeUrl,
      redisQueueUrl: inject('redisQueueUrl'),
      readers: Number(HISTORIES_READERS),
      ...options,
    });
    process.stdout.write(`${outcome.report}\n`);
    return outcome;
  } finally {
    await on.drop();
  }
}

function right(): void {
  const policies = POLICIES.filter((policy) => HISTORIES_POLICY === '' || HISTORIES_POLICY === policy);
  /** Both policies share the time. */
  const seconds = (MINUTES * 60) / policies.length;
  let build: Build;
  beforeAll(() => {
    build = new Build(undefined);
  });
  afterAll(() => build.remove());
  test.each(policies)(
    'nothing that was acknowledged or read is ever unread again, whatever is killed, paused, cut off or flushed (%s)',
    async (policy) => {
      // Not the same faults twice: a short run has half of the kinds.
      const outcome = await run(build, { seconds, seed: SEED + POLICIES.indexOf(policy), policy });
      // What is excused can be judged by whoever doubts it.
      if (HISTORIES_EXCUSED) for (const line of outcome.excused) process.stdout.write(`${line}\n`);
      for (const line of outcome.offences) process.stdout.write(`${line}\n`);
      expect(outcome.offences).toEqual([]);
      // Nothing is shown by a run in which nothing happened.
      expect(outcome.reads).toBeGreaterThan(seconds * 20);
      expect(outcome.acknowledgements).toBeGreaterThan(seconds * 4);
      expect(outcome.fromCacheNearFaults).toBeGreaterThan(seconds);
      expect(outcome.daysSettled).toBeGreaterThan(seconds / 10);
      expect(outcome.payouts).toBeGreaterThan(seconds / 10);
      expect(outcome.faults.length).toBeGreaterThan(seconds / 5);
      for (const kind of ['transfer', 'hold', 'capture', 'void', 'reverse', 'expiry']) {
        expect.soft([kind, outcome.kinds.get(kind) ?? 0]).toEqual([kind, expect.toSatisfy((n) => n > seconds / 10)]);
      }
    },
    seconds * 1_000 + AROUND_MS,
  );
}

function planted(mutants: readonly Mutant[]): void {
  test.each(mutants)(
    'the planted bug is caught: $name',
    async (mutant) => {
      const build = new Build(mutant);
      const seconds = MINUTES * 60;
      const { policy = 'available', shows = 'stale' } = mutant;
      try {
        let [found, reads, rounds] = [0, 0, 0];
        while (found === 0 && rounds < MUTANT_ROUNDS) {
          const outcome = await run(build, { seconds, seed: SEED + rounds, policy });
          found += outcome[shows];
          reads += outcome.reads;
          rounds += 1;
        }
        process.stdout.write(
          `${found > 0 ? 'caught' : 'SURVIVED'}  ${mutant.name}: ${found} ${shows}, ${reads} reads in ${rounds} × ${seconds} s\n`,
        );
        expect(found).toBeGreaterThan(0);
      } finally {
        build.remove();
      }
    },
    MUTANT_ROUNDS * (MINUTES * 60_000 + AROUND_MS),
  );
}

if (HISTORIES_MUTANT === '') right();
else planted(MUTANTS.filter(({ name }) => HISTORIES_MUTANT === 'all' || HISTORIES_MUTANT === name));
