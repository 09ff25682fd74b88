import fc from 'fast-check';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { Business } from './reconciliation/interrupted.js';
import { Stage } from './reconciliation/stage.js';
import { expectVerified } from './support/verified.js';

/** Set by `npm run test:faults -- reconciliation [--rounds N --seed S]`; `npm test` has a short one. */
const { RECONCILIATION_ROUNDS = '1', RECONCILIATION_SEED = '20261127' } = process.env;
const ROUNDS = Number(RECONCILIATION_ROUNDS);
const ROUND_MS = 180_000;
const PAYMENTS = 150;

let on: Stage;

beforeAll(async () => {
  on = await Stage.open(inject('redisUrl'));
}, 120_000);
afterAll(() => on.close());

/** What befalls the reports of one business. */
const round = fc.record({
  /** An upload that is interrupted while a worker is there, by whom it leaves nothing. */
  broken: fc.constantFrom('client', 'api'),
  /** One that may be taken all the same. */
  shaken: fc.constantFrom('postgres', 'queue'),
  matching: fc
    .tuple(
      fc.shuffledSubarray(['worker', 'postgres', 'queue'] as const, { minLength: 2 }),
      fc.array(fc.double({ min: 0.2, max: 0.9, noNaN: true }), { minLength: 3, maxLength: 3 }),
    )
    .map(([struck, shares]) => {
      const sorted = shares.toSorted().reverse();
      return struck.map((what, nth) => ({ what, share: sorted[nth] as number }));
    }),
});

test(
  'each row is matched once and no break opened twice, however often it is told, by whomever at once, and whatever is killed',
  async () => {
    const left: number[] = [];
    for (const { broken, shaken, matching } of fc.sample(round, {
      seed: Number(RECONCILIATION_SEED),
      numRuns: ROUNDS,
    })) {
      const business = await Business.open(on, PAYMENTS);
      const half = Math.floor(business.planted.count / 2);
      await on.worker.start();
      await business.breakOff(broken);
      // What comes now waits for a worker.
      await on.worker.crash();
      // All of it twice, and the second half of it: at once, one of them interrupted.
      const all = await Promise.all([business.shake(shaken), business.upload(), business.upload(half)]);
      await on.worker.start();
      for (const { what, share } of matching) left.push(await business.interruptMatching(what, share));
      for (const id of all) await business.completed(id);
      const again = await business.completed(await business.upload());
      await business.quiet();
      expect(again).toMatchObject({ repeated: business.planted.count, matched: business.planted.matched });
      expect(await business.offences()).toEqual([]);
      await on.worker.crash();
    }
    await expectVerified(on.on);
    const struck = [...on.counts].map(([what, times]) => `${what} ${times}`).sort();
    console.log(`${ROUNDS} rounds; struck: ${struck.join(', ')}; rows left in mid-matching: ${left.join(', ')}`);
    // Nothing is shown by a worker that had nothing left to do.
    expect(left.filter((rows) => rows > 0).length).toBeGreaterThan(0);
  },
  ROUNDS * ROUND_MS,
);
