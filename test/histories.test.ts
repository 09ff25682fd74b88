import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { mutantNamed } from './histories/mutants.js';
import { POLICIES, runHistories } from './histories/run.js';
import { Build } from './histories/servers.js';
import { freshDatabase } from './support/database.js';

/** Set by `npm run test:histories -- --minutes N --seed S --policy P --readers N --mutant NAME --excused`. */
const {
  HISTORIES_MINUTES = '0.8',
  HISTORIES_SEED = '20261121',
  HISTORIES_POLICY = '',
  HISTORIES_READERS = '2',
  HISTORIES_MUTANT,
  HISTORIES_EXCUSED,
} = process.env;
const policies = POLICIES.filter((policy) => HISTORIES_POLICY === '' || HISTORIES_POLICY === policy);
/** Both policies share the time. */
const SECONDS = (Number(HISTORIES_MINUTES) * 60) / policies.length;
/** Starting, recovering, settling and judging. */
const AROUND_MS = 120_000;

let build: Build;
beforeAll(() => {
  build = new Build(HISTORIES_MUTANT ? mutantNamed(HISTORIES_MUTANT) : undefined);
});
afterAll(() => build.remove());

test.each(policies)(
  'nothing that was acknowledged or read is ever unread again, whatever is killed, paused, cut off or flushed (%s)',
  async (policy) => {
    const on = await freshDatabase();
    try {
      const outcome = await runHistories(build, {
        ownerUrl: on.ownerUrl,
        runtimeUrl: on.runtimeUrl,
        redisQueueUrl: inject('redisQueueUrl'),
        seconds: SECONDS,
        seed: Number(HISTORIES_SEED),
        policy,
        readers: Number(HISTORIES_READERS),
      });
      process.stdout.write(`${outcome.report}\n`);
      // What is excused can be judged by whoever doubts it.
      if (HISTORIES_EXCUSED) for (const line of outcome.excused) process.stdout.write(`${line}\n`);
      for (const line of outcome.offences) process.stdout.write(`${line}\n`);
      expect(outcome.offences).toEqual([]);
      // Nothing is shown by a run in which nothing happened.
      expect(outcome.reads).toBeGreaterThan(SECONDS * 20);
      expect(outcome.acknowledgements).toBeGreaterThan(SECONDS * 4);
      expect(outcome.fromCacheNearFaults).toBeGreaterThan(SECONDS);
      expect(outcome.faults.length).toBeGreaterThan(SECONDS / 5);
    } finally {
      await on.drop();
    }
  },
  SECONDS * 1_000 + AROUND_MS,
);
