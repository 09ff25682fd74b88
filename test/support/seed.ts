/** What is drawn in a run comes from one seed: TEST_SEED repeats it (vitest.config.ts draws one when it is not given). */
export const SEED = Number(process.env.TEST_SEED);
if (!Number.isSafeInteger(SEED)) throw new Error(`TEST_SEED must be a whole number, not ${process.env.TEST_SEED}`);
