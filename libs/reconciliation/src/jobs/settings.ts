import { integer } from '#platform/config-fields.js';

export const JOB_FIELDS = {
  RECONCILIATION_INTERVAL_MS: integer({ default: 10_000, min: 100, max: 3_600_000 }).describe(
    'How often a worker looks whether Redis has lost jobs of reports, and whether receivers of reports have died.',
  ),
  RECONCILIATION_CONCURRENCY: integer({ default: 2, min: 1, max: 64 }).describe(
    'Reports that a worker matches at once. Those of one merchant take turns.',
  ),
  RECONCILIATION_CHUNK_ROWS: integer({ default: 10_000, min: 1, max: 1_000_000 }).describe(
    'About how many rows of a report one transaction matches. While it runs, postings of the merchant wait for it.',
  ),
  RECONCILIATION_JOB_LOCK_MS: integer({ default: 30_000, min: 100, max: 600_000 }).describe(
    'A worker that died keeps its report from the others for this long at most, twice: until the lock ends, and until somebody looks.',
  ),
};
