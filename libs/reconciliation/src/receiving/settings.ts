import { integer } from '#platform/config-fields.js';

const MIB = 1_048_576;

export const RECEIVING_FIELDS = {
  RECONCILIATION_RECEIVE_MS: integer({ default: 3_600_000, min: 1_000, max: 86_400_000 }).describe(
    'How long the upload of a report may take; REQUEST_DEADLINE_MS and BODY_TIMEOUT_MS do not bind it.',
  ),
  RECONCILIATION_STALL_MS: integer({ default: 30_000, min: 100, max: 600_000 }).describe(
    'How long an upload may be without a byte; then it is broken off.',
  ),
  RECONCILIATION_MAX_BYTES: integer({ default: 2_048 * MIB, min: 1_024, max: 65_536 * MIB }).describe(
    'Largest report. It is never in memory.',
  ),
  RECONCILIATION_UPLOADS: integer({ default: 4, min: 1, max: 1_000 }).describe(
    'Reports that a process receives at once; beyond that the answer is `overloaded`. Each has a connection to PostgreSQL while it writes.',
  ),
  RECONCILIATION_MERCHANT_UPLOADS: integer({ default: 2, min: 1, max: 1_000 }).describe('The same for one merchant.'),
  RECONCILIATION_STAGE_ROWS: integer({ default: 10_000, min: 1, max: 100_000 }).describe(
    'Rows of a report that one transaction stages. While it runs, the log’s horizon waits for it.',
  ),
  RECONCILIATION_ROW_BYTES: integer({ default: 65_536, min: 1_024, max: MIB }).describe(
    'Largest row of a CSV, its header included: a longer one is a bad row. Of XML, the most that may stand between two tags.',
  ),
  RECONCILIATION_XML_DEPTH: integer({ default: 64, min: 20, max: 1_000 }).describe(
    'Elements of a bank’s file within each other, at most; a statement has about 15.',
  ),
  RECONCILIATION_STATEMENTS: integer({ default: 10_000, min: 1, max: 1_000_000 }).describe(
    'Statements in one file of a bank, at most: what each says of itself is in memory until all are here.',
  ),
  RECONCILIATION_NAMELESS_ROWS: integer({ default: 100_000, min: 1, max: 10_000_000 }).describe(
    'Different transactions in one file of a bank that have no reference of the bank’s own, at most: they are told apart by counting, in memory.',
  ),
  RECONCILIATION_BAD_ROWS: integer({ default: 10_000, min: 1, max: 1_000_000 }).describe(
    'Of a report’s rows that cannot be read so many are listed; all are counted.',
  ),
  RECONCILIATION_SILENCE_MS: integer({ default: 60_000, min: 1_000, max: 3_600_000 }).describe(
    'A report whose receiver has not been heard of for so long has failed: its process has died.',
  ),
  RECONCILIATION_STEP_TIMEOUT_MS: integer({ default: 30_000, min: 1_000, max: 600_000 }).describe(
    'Deadline of one transaction of a reconciliation.',
  ),
};
