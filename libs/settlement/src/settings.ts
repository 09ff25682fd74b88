import { LEDGER_SETTINGS, type LedgerSettings } from '#ledger/settings.js';
import { roomSettings, type SettingsOf } from '#platform/room-settings.js';
import { RUN_FIELDS } from './runs/settings.js';

export const SETTLEMENT_SETTINGS = roomSettings({
  room: 'libs/settlement',
  reads: [LEDGER_SETTINGS],
  fields: { ...RUN_FIELDS },
});

/** What the room reads. */
export type SettlementSettings = LedgerSettings & SettingsOf<typeof SETTLEMENT_SETTINGS>;
