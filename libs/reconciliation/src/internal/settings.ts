import { integer } from '#platform/config-fields.js';

export const INTERNAL_FIELDS = {
  RECONCILIATION_CHECK_INTERVAL_MS: integer({ default: 3_600_000, min: 100, max: 86_400_000 }).describe(
    'How often a worker looks for merchants whose day has been settled, or has ended without, since their books were last checked.',
  ),
  RECONCILIATION_CHECK_MERCHANTS: integer({ default: 100, min: 1, max: 100_000 }).describe(
    'Merchants whose books wait to be checked at once; the others follow within RECONCILIATION_INTERVAL_MS of each other.',
  ),
  RECONCILIATION_CHECK_TIMEOUT_MS: integer({ default: 300_000, min: 100, max: 7_200_000 }).describe(
    'Deadline of the check of one merchant’s books: one snapshot, that only reads. What takes longer has failed.',
  ),
  RECONCILIATION_CHECK_BREAKS: integer({ default: 1_000, min: 1, max: 100_000 }).describe(
    'What one check finds wrong with a merchant becomes breaks up to so many; of findings of payments the same.',
  ),
};
