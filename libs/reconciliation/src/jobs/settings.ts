import { integer } from '#platform/config-fields.js';

export const JOB_FIELDS = {
  RECONCILIATION_INTERVAL_MS: integer({ default: 10_000, min: 100, max: 3_600_000 }).describe(
    'How often a worker looks whether Redis has lost jobs of reports, and whether receivers of reports have died.',
  ),
  RECONCILIATION_LATE_MS: integer({ default: 60_000, min: 0, max: 3_600_000 }).describe(
    'When a payment or payout becomes known that rows with open breaks name, these are looked at after this long, once for whatever else becomes known meanwhile.',
  ),
  RECONCILIATION_CONCURRENCY: integer({ default: 2, min: 1, max: 64 }).describe(
    'Reports that a worker matches at once, each of another merchant: those of one merchant are matched one after the other.',
  ),
  RECONCILIATION_TURN_CHUNKS: integer({ default: 4, min: 1, max: 10_000 }).describe(
    'Chunks of a report that are matched before it waits behind other merchants’ reports.',
  ),
  RECONCILIATION_CHUNK_ROWS: integer({ default: 20_000, min: 1, max: 1_000_000 }).describe(
    'Rows of a report that one transaction matches. While it runs, the log’s horizon waits for it.',
  ),
  RECONCILIATION_BREAKS_AT_ONCE: integer({ default: 1_000, min: 1, max: 100_000 }).describe(
    'Rows that one transaction decides behind the merchant’s lock, as breaks are opened there: postings of the merchant wait for it.',
  ),
  RECONCILIATION_JOB_LOCK_MS: integer({ default: 30_000, min: 100, max: 600_000 }).describe(
    'A worker that died keeps its report from the others for this long at most, twice: until the lock ends, and until somebody looks.',
  ),
  RECONCILIATION_TRIES: integer({ default: 100, min: 1, max: 100_000 }).describe(
    'A report that could not be matched so many times has failed; what was matched stays, and POST /v1/reconciliations/{id}/retry goes on. They take a quarter of an hour and more.',
  ),
  RECONCILIATION_AMOUNT_TOLERANCE: integer({ default: 0, min: 0, max: 1_000_000 }).describe(
    'Minor units by which a row’s amount may differ from that of the capture, refund or dispute that it names.',
  ),
  RECONCILIATION_FEE_TOLERANCE: integer({ default: 0, min: 0, max: 1_000_000 }).describe(
    'Minor units by which the fee that a report tells of a payment may differ from what the ledger was told.',
  ),
  RECONCILIATION_DATE_TOLERANCE_DAYS: integer({ default: 7, min: 0, max: 365 }).describe(
    'Days by which the time of a row may differ from that of what it is matched with.',
  ),
};
