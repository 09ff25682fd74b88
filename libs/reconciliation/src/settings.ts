import { LEDGER_SETTINGS } from '#ledger/settings.js';
import { integer } from '#platform/config-fields.js';
import { roomSettings } from '#platform/room-settings.js';

export const RECONCILIATION_SETTINGS = roomSettings({
  room: 'libs/reconciliation',
  reads: [LEDGER_SETTINGS],
  fields: {
    RECONCILIATION_SLA_DAYS: integer({ default: 3, min: 0, max: 365 }).describe(
      'Days for which what a report of its period does not tell is expected, where its upload does not say; then it is missing.',
    ),
  },
});
