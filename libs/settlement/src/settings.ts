import { LEDGER_SETTINGS, type LedgerSettings } from '#ledger/settings.js';
import { integer } from '#platform/config-fields.js';
import { roomSettings, type SettingsOf } from '#platform/room-settings.js';
import { RUN_FIELDS } from './runs/settings.js';

export const SETTLEMENT_SETTINGS = roomSettings({
  room: 'libs/settlement',
  reads: [LEDGER_SETTINGS],
  fields: {
    SETTLEMENT_CHUNK_ENTRIES: integer({ default: 20_000, min: 1, max: 1_000_000 }).describe(
      'Entries that one transaction drafts at most. While it runs, the log’s horizon waits for it.',
    ),
    SETTLEMENT_STEP_TIMEOUT_MS: integer({ default: 30_000, min: 1_000, max: 600_000 }).describe(
      'Deadline of one transaction that settles, whatever time its run has left.',
    ),
    ...RUN_FIELDS,
  },
});

/** What the room reads. */
export type SettlementSettings = LedgerSettings & SettingsOf<typeof SETTLEMENT_SETTINGS>;
