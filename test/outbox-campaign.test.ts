import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Mutant } from './histories/mutants.js';
import { Build } from './histories/servers.js';
import { MUTANTS } from './outbox-campaign/mutants.js';
import { type CampaignOutcome, runCampaign } from './outbox-campaign/run.js';
import { addRecorder } from './outbox-campaign/servers.js';

/** Set by `npm run test:faults -- --minutes N --seed S --mutant NAME`. */
const { FAULTS_MINUTES = '', FAULTS_SEED = '20261121', FAULTS_MUTANT = '' } = process.env;
const SEED = Number(FAULTS_SEED);
/** `npm test` has a short one; a planted bug has half a minute a round. */
const SHORT = { seconds: 25, apis: 1, holdMs: 3_000 };
const LONG_HOLD_MS = 30_000;
/** Compiling, starting, catching up and judging. */
const AROUND_MS = 240_000;
const MUTANT_ROUNDS = 5;

const options = FAULTS_MINUTES === '' ? SHORT : { seconds: Number(FAULTS_MINUTES) * 60, apis: 2, holdMs: LONG_HOLD_MS };

function buildWithRecorder(mutant: Mutant | undefined): Build {
  const build = new Build(mutant);
  addRecorder(build);
  return build;
}

async function run(build: Build, of: typeof SHORT, seed: number): Promise<CampaignOutcome> {
  const outcome = await runCampaign(build, { ...of, seed });
  process.stdout.write(`${outcome.report}\n`);
  for (const line of outcome.offences) process.stdout.write(`${line}\n`);
  return outcome;
}

function right(): void {
  let build: Build;
  beforeAll(() => {
    build = buildWithRecorder(undefined);
  });
  afterAll(() => build.remove());
  test(
    'every event is applied once and in order, whatever is killed, paused, emptied, filled or cut off',
    async () => {
      const outcome = await run(build, options, SEED);
      expect(outcome.offences).toEqual([]);
      // Nothing is shown by a run in which nothing happened.
      const { seconds } = options;
      expect(outcome.events).toBeGreaterThan(seconds * 20);
      expect(outcome.faults.length).toBeGreaterThan(seconds / 5);
      const { rolledBack, ...moved } = outcome.counts;
      expect(rolledBack).toBeGreaterThan(seconds / 5);
      for (const [what, count] of Object.entries(moved))
        expect.soft(`${what} ${count > seconds / 10}`).toBe(`${what} true`);
      expect(outcome.overtaken).toBeGreaterThan(seconds / 5);
      const { counted } = outcome;
      expect(counted['dispatched again'] + counted['jobs put off']).toBeGreaterThan(0);
      expect(counted['tries failed']).toBeGreaterThan(0);
    },
    options.seconds * 1_000 + AROUND_MS,
  );
}

function planted(names: string): void {
  const mutants = MUTANTS.filter(({ name }) => names === 'all' || names === name);
  test.each(mutants)(
    'the planted bug is caught: $name',
    async (mutant) => {
      const build = buildWithRecorder(mutant);
      try {
        let [found, rounds] = [0, 0];
        while (found === 0 && rounds < MUTANT_ROUNDS) {
          found = (await run(build, SHORT, SEED + rounds)).offences.length;
          rounds += 1;
        }
        process.stdout.write(`${found > 0 ? 'caught' : 'SURVIVED'}  ${mutant.name}, ${rounds} rounds\n`);
        expect(found).toBeGreaterThan(0);
      } finally {
        build.remove();
      }
    },
    MUTANT_ROUNDS * (SHORT.seconds * 1_000 + AROUND_MS),
  );
}

if (FAULTS_MUTANT === '') right();
else planted(FAULTS_MUTANT);
