import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FaultMutant } from '../scripts/mutants/faults.mjs';
import { Build } from './histories/servers.js';
import { BENT } from './night/bent.js';
import { judgeShop } from './night/judge.js';
import { MUTANTS } from './night/mutants.js';
import { type QuarterOptions, SHORT, SMOKE } from './night/quarter.js';
import { type QuarterOutcome, type QuarterRunOptions, runQuarter } from './night/run.js';

/** Set by `npm run test:faults -- night --rounds N --payments M --seed S --mutant NAME`; of `npm test` none is. */
const { NIGHT_ROUNDS = '', NIGHT_PAYMENTS = '', NIGHT_SEED = String(SHORT.seed), NIGHT_MUTANT = '' } = process.env;
const seed = Number(NIGHT_SEED);
const STRIKES = 0.6;
const isLong = NIGHT_ROUNDS !== '' && NIGHT_MUTANT === '';
const options: QuarterOptions = isLong
  ? { seed, rounds: Number(NIGHT_ROUNDS), payments: Number(NIGHT_PAYMENTS), everyNight: true }
  : { ...SMOKE, seed };
const SHOWN = 20;
const SHORT_LIMIT_MS = 240_000;
const LIMIT_MS = isLong ? 3_600_000 : SHORT_LIMIT_MS;

async function run(build: Build, of: QuarterRunOptions): Promise<QuarterOutcome> {
  const outcome = await runQuarter(build, of);
  process.stdout.write(`${outcome.report}\n`);
  return outcome;
}

function right(): void {
  let build: Build;
  beforeAll(() => {
    build = new Build(undefined);
  });
  afterAll(() => build.remove());

  test(
    'a quarter in six zones ends with every account explained, whoever is killed while nights are settled',
    async () => {
      const harmed = await run(build, { ...options, strikes: STRIKES, today: isLong });
      expect(harmed.offences.slice(0, SHOWN)).toEqual([]);
      // Nothing is shown by a run in which nothing happened.
      expect(harmed.faults.length).toBeGreaterThan(0);
      expect(harmed.state.length).toBeGreaterThan(20);
      if (!isLong) return;
      for (const { name, settle, amountsOf } of BENT) {
        const found = harmed.ledgered.flatMap((one) => judgeShop(one, harmed.lived, { settle, amountsOf })[0]);
        expect.soft(`${name}: ${found.length > 0}`).toBe(`${name}: true`);
      }
      const calm = await run(build, { ...options, strikes: 0, today: isLong });
      expect(calm.offences.slice(0, SHOWN)).toEqual([]);
      const [before, after] = [new Set(calm.state), new Set(harmed.state)];
      const differ = { calm: [...before.difference(after)], harmed: [...after.difference(before)] };
      expect(differ).toEqual({ calm: [], harmed: [] });
    },
    LIMIT_MS,
  );
}

function planted(names: string): void {
  const mutants = MUTANTS.filter(({ name }) => names === 'all' || names === name);
  test.each(mutants)(
    'the planted bug is caught: $name',
    async (mutant: FaultMutant) => {
      const build = new Build(mutant);
      try {
        const { offences } = await run(build, { ...SHORT, strikes: 0, today: false });
        process.stdout.write(`${offences.length > 0 ? 'caught' : 'SURVIVED'}  ${mutant.name}\n`);
        expect(offences.length).toBeGreaterThan(0);
      } finally {
        build.remove();
      }
    },
    SHORT_LIMIT_MS,
  );
}

if (NIGHT_MUTANT === '') right();
else describe('a quarter with a bug in it', () => planted(NIGHT_MUTANT));
