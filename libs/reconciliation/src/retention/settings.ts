import { integer } from '#platform/config-fields.js';

export const RETENTION_FIELDS = {
  RECONCILIATION_RETENTION_DAYS: integer({ default: 1_095, min: 1, max: 36_500 }).describe(
    'Reports and their rows are forgotten after so long; those with an open break are kept. A row that is told again after that is new: where its item is matched, it is a break.',
  ),
  RECONCILIATION_BAD_ROW_RETENTION_DAYS: integer({ default: 90, min: 1, max: 36_500 }).describe(
    'Rows that could not be read are forgotten after so long, and uploads that failed.',
  ),
  RECONCILIATION_CHECK_RETENTION_DAYS: integer({ default: 90, min: 1, max: 36_500 }).describe(
    'Reports of our own checks are forgotten after so long, but for the last of a merchant; their breaks are kept.',
  ),
};
