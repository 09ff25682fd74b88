import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Build } from './histories/servers.js';
import { type QuarterOutcome, type QuarterRunOptions, runQuarter } from './night/run.js';

/** Set by `npm run test:faults -- night --seed S …`. */
const { NIGHT_ROUNDS = '', NIGHT_PAYMENTS = '', NIGHT_SEED = '20111230' } = process.env;
const isLong = NIGHT_ROUNDS !== '';
/** `npm test` has a short one. */
const OPTIONS: Omit<QuarterRunOptions, 'harmed'> = isLong
  ? { seed: Number(NIGHT_SEED), rounds: Number(NIGHT_ROUNDS), payments: Number(NIGHT_PAYMENTS), everyNight: true }
  : { seed: Number(NIGHT_SEED), rounds: 1, payments: 25, everyNight: false };
const LIMIT_MS = isLong ? 3_600_000 : 240_000;

let build: Build;
beforeAll(() => {
  build = new Build(undefined);
});
afterAll(() => build.remove());

async function run(harmed: boolean): Promise<QuarterOutcome> {
  const outcome = await runQuarter(build, { ...OPTIONS, harmed });
  process.stdout.write(`${outcome.report}\n`);
  return outcome;
}

describe('a quarter in six zones', () => {
  test(
    'ends with every account explained',
    async () => {
      const outcome = await run(false);
      expect(outcome.offences).toEqual([]);
    },
    LIMIT_MS,
  );
});
