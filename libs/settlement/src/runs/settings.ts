import { integer } from '#platform/config-fields.js';

export const RUN_FIELDS = {
  SETTLEMENT_INTERVAL_MS: integer({ default: 30_000, min: 100, max: 3_600_000 }).describe(
    'How often a worker looks whose cut-off has passed, and whether Redis has lost jobs of the night.',
  ),
  SETTLEMENT_RANGE_MERCHANTS: integer({ default: 200, min: 1, max: 10_000 }).describe(
    'Merchants of one range: the part of a run that one worker takes at a time.',
  ),
  SETTLEMENT_CONCURRENCY: integer({ default: 1, min: 1, max: 64 }).describe(
    'Ranges that a worker settles at once. Two are done in less time, and postings wait for cores (docs/figures/night.md).',
  ),
  SETTLEMENT_JOB_LOCK_MS: integer({ default: 30_000, min: 100, max: 600_000 }).describe(
    'A worker that died keeps its range from the others for this long at most, twice: until the lock ends, and until somebody looks.',
  ),
  SETTLEMENT_RANGE_TIMEOUT_MS: integer({ default: 600_000, min: 1_000, max: 3_600_000 }).describe(
    'Deadline of one try of a range. What is settled by then stays, and the next try goes on from there.',
  ),
  SETTLEMENT_RUN_RETENTION_DAYS: integer({ default: 400, min: 1, max: 36_500 }).describe(
    'How long runs that are over are kept. What they settled stays for ever.',
  ),
};
