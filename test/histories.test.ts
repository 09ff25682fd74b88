import { expect, inject, test } from 'vitest';
import { mutantNamed } from './histories/mutants.js';
import { runHistories } from './histories/run.js';
import { freshDatabase } from './support/database.js';

/** Set by `npm run test:histories -- --minutes N --seed S --mutant NAME --excused`. */
const { HISTORIES_MINUTES = '0.75', HISTORIES_SEED = '20261121', HISTORIES_MUTANT, HISTORIES_EXCUSED } = process.env;
const SECONDS = Number(HISTORIES_MINUTES) * 60;
/** Compiling, starting, recovering, settling and judging. */
const AROUND_MS = 120_000;

test(
  'nothing that was acknowledged or read is ever unread again, whatever is killed, paused or flushed',
  async () => {
    const on = await freshDatabase();
    try {
      const outcome = await runHistories({
        ownerUrl: on.ownerUrl,
        runtimeUrl: on.runtimeUrl,
        redisQueueUrl: inject('redisQueueUrl'),
        seconds: SECONDS,
        seed: Number(HISTORIES_SEED),
        mutant: HISTORIES_MUTANT ? mutantNamed(HISTORIES_MUTANT) : undefined,
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
