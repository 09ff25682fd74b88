import { integer, list } from '#platform/config-fields.js';
import { roomSettings, type SettingsOf } from '#platform/room-settings.js';

export const TENANCY_SETTINGS = roomSettings({
  room: 'libs/tenancy',
  fields: {
    COUNTERFOIL_OPERATOR_KEY: list(
      (key) => /^cfo_[0-9A-Za-z]{32,}$/.test(key),
      'must be `cfo_` and at least 32 letters or digits; several are separated by commas',
    )
      .optional()
      .describe(
        'Key of the platform’s operators: `cfo_` and at least 32 letters or digits. Several, separated by commas, while one replaces another. Without it the platform’s routes refuse everybody.',
      ),
    API_KEY_CACHE_MS: integer({ default: 3_000, min: 0, max: 5_000 }).describe(
      'How long a process trusts an API key that it looked up: the longest that a revoked key still works.',
    ),
  },
});

export type TenancySettings = SettingsOf<typeof TENANCY_SETTINGS>;
