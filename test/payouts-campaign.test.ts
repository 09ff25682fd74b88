import { afterAll, beforeAll, expect, test } from 'vitest';
import { Build } from './histories/servers.js';
import { POINTS } from './payouts-campaign/points.js';
import { runPayouts } from './payouts-campaign/run.js';

/** Set by `npm run test:faults -- payouts --rounds N --seed S [--point TEXT]`. */
const { PAYOUTS_ROUNDS = '', PAYOUTS_SEED = '20261127', PAYOUTS_POINT = '' } = process.env;
/** `npm test` has a short one. */
const SHORT = [
  'the API reserves: all, unanswered',
  'the instruction: after',
  'the first answer is written: all but COMMIT',
  'a later answer is written: all, unanswered',
  'the bank dies, told and silent',
];
/** Of a busy machine, with what is killed starting anew. */
const POINT_MS = 120_000;
const AROUND_MS = 240_000;

const isShort = PAYOUTS_ROUNDS === '';
const points = POINTS.filter(({ name }) => (isShort ? SHORT.includes(name) : name.includes(PAYOUTS_POINT)));
const rounds = isShort ? 1 : Number(PAYOUTS_ROUNDS);

let build: Build;
beforeAll(() => {
  build = new Build(undefined);
});
afterAll(() => build.remove());

test(
  'a payout ends as its bank says, paid once and with exact accounts, wherever API, worker or bank is killed or cut off',
  async () => {
    const { report, offences, hits } = await runPayouts(build, { points, rounds, seed: Number(PAYOUTS_SEED) });
    process.stdout.write(`${report}\n`);
    expect(offences).toEqual([]);
    // Nothing is shown by a point that nobody came to.
    for (const [{ name, reached }, counts] of hits)
      expect.soft(Object.fromEntries(counts), name).toEqual(Object.fromEntries(reached.map((one) => [one, rounds])));
    expect(hits.size).toBe(isShort ? SHORT.length : points.length);
  },
  AROUND_MS + points.length * rounds * POINT_MS,
);
