import { integer } from '#platform/config-fields.js';
import { roomSettings, type SettingsOf } from '#platform/room-settings.js';

export const FEES_SETTINGS = roomSettings({
  room: 'libs/fees',
  fields: {
    FEE_PLAN_VERSIONS: integer({ default: 100, min: 1, max: 1_000 }).describe('Versions that a fee plan may have.'),
  },
});

export type FeesSettings = SettingsOf<typeof FEES_SETTINGS>;
