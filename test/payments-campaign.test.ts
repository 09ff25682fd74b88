import { afterAll, beforeAll, expect, test } from 'vitest';
import { Build } from './histories/servers.js';
import { runPayments } from './payments-campaign/run.js';

/** Set by `npm run test:faults -- payments --permutations N --seed S`. */
const { PAYMENTS_PERMUTATIONS = '', PAYMENTS_SEED = '20261127' } = process.env;
/** `npm test` has a short one. */
const SHORT = { permutations: 200, factsPerFault: 250 };
const FACTS_PER_LONG_FAULT = 1_000;
/** Of a busy machine, with what is killed starting anew. */
const PERMUTATION_MS = 500;
const AROUND_MS = 240_000;

const options =
  PAYMENTS_PERMUTATIONS === ''
    ? SHORT
    : { permutations: Number(PAYMENTS_PERMUTATIONS), factsPerFault: FACTS_PER_LONG_FAULT };

let build: Build;
beforeAll(() => {
  build = new Build(undefined);
});
afterAll(() => build.remove());

test(
  'every payment ends where its story does, in whatever order it is told to two APIs, and whatever is killed or cut off',
  async () => {
    const { report, offences, faults, payments, outcomes } = await runPayments(build, {
      ...options,
      seed: Number(PAYMENTS_SEED),
    });
    process.stdout.write(`${report}\n`);
    expect(offences).toEqual([]);
    // Nothing is shown by a run in which nothing happened.
    expect(payments).toBe(options.permutations);
    expect(faults.length).toBeGreaterThan(options.permutations / 150);
    for (const outcome of ['applied', 'duplicate', 'stale', 'parked', 'rejected'])
      expect.soft(`${outcome} ${(outcomes.get(outcome) ?? 0) > options.permutations / 20}`).toBe(`${outcome} true`);
  },
  options.permutations * PERMUTATION_MS + AROUND_MS,
);
