import { LEDGER_SETTINGS, type LedgerSettings } from '#ledger/settings.js';
import { integer } from '#platform/config-fields.js';
import { atMost, roomSettings, type SettingsOf } from '#platform/room-settings.js';
import { INTERNAL_FIELDS } from './internal/settings.js';
import { JOB_FIELDS } from './jobs/settings.js';
import { RECEIVING_FIELDS } from './receiving/settings.js';
import { RETENTION_FIELDS } from './retention/settings.js';

export const RECONCILIATION_SETTINGS = roomSettings({
  room: 'libs/reconciliation',
  reads: [LEDGER_SETTINGS],
  fields: {
    RECONCILIATION_SLA_DAYS: integer({ default: 3, min: 0, max: 365 }).describe(
      'Days for which what a report of its period does not tell is expected, where its upload does not say; then it is missing.',
    ),
    ...RECEIVING_FIELDS,
    ...JOB_FIELDS,
    ...INTERNAL_FIELDS,
    ...RETENTION_FIELDS,
  },
  checks: [
    atMost('RECONCILIATION_STALL_MS', 'RECONCILIATION_RECEIVE_MS'),
    atMost('RECONCILIATION_MERCHANT_UPLOADS', 'RECONCILIATION_UPLOADS'),
  ],
});

/** What the room reads. */
export type ReconciliationSettings = LedgerSettings & SettingsOf<typeof RECONCILIATION_SETTINGS>;
