import { afterAll, beforeAll, expect, test } from 'vitest';
import { Build } from './histories/servers.js';
import { POINTS } from './payouts-campaign/points.js';
import { runPayouts } from './payouts-campaign/run.js';
import { Stage } from './payouts-campaign/stage.js';
import { storm } from './payouts-campaign/storm.js';

/** Set by `npm run test:faults -- payouts [--visits N --seed S --point TEXT]`. */
const { PAYOUTS_VISITS = '', PAYOUTS_SEED = '20261127', PAYOUTS_POINT = '' } = process.env;
/** `npm test` has a short one. */
const SHORT = [
  'the instruction: after',
  'the first answer is written: all but COMMIT',
  'the bank dies, told and silent',
];
/** Of a busy machine, with what is killed starting anew. */
const POINT_MS = 120_000;
const AROUND_MS = 240_000;

const isShort = PAYOUTS_VISITS === '';
const points = POINTS.filter(({ name }) => (isShort ? SHORT.includes(name) : name.includes(PAYOUTS_POINT)));
const visits = isShort ? 1 : Number(PAYOUTS_VISITS);

let build: Build;
beforeAll(() => {
  build = new Build(undefined);
});
afterAll(() => build.remove());

test(
  'a payout ends as its bank says, paid once and with exact accounts, wherever API, worker or bank is killed or cut off',
  async () => {
    const { report, offences, hits } = await runPayouts(build, { points, visits, seed: Number(PAYOUTS_SEED) });
    process.stdout.write(`${report}\n`);
    expect(offences).toEqual([]);
    // Nothing is shown by a point that nobody came to.
    expect(hits.size).toBe(isShort ? SHORT.length : points.length);
    for (const [{ name, reached }, counts] of hits) {
      const there = reached.filter((destination) => counts.has(destination));
      if (isShort) expect.soft(there.length, name).toBeGreaterThan(0);
      else expect.soft(there, name).toEqual(reached);
    }
  },
  AROUND_MS + points.length * visits * POINT_MS,
);

/** `npm test` has its parts: points at which the API is killed, and nights in which Redis is. */
if (!isShort)
  test(
    'payouts are paid once and with exact accounts while the API, again and again, and both roles of Redis are killed',
    async () => {
      const stage = await Stage.open(build);
      try {
        expect(await storm(stage)).toEqual({ asked: 24, offences: [] });
      } finally {
        await stage.close();
      }
    },
    AROUND_MS + POINT_MS,
  );
