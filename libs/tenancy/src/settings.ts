import { integer, list, networks } from '#platform/config-fields.js';
import { atMost, roomSettings, type SettingsOf } from '#platform/room-settings.js';

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
    TRUSTED_PROXIES: networks('none').describe(
      'Networks (CIDR, separated by commas) of the proxies in front of the API: what these add to `X-Forwarded-For` is the address of a request. `none`: that of its connection.',
    ),
    AUTH_FAILURES_PER_SECOND: integer({ default: 20, min: 1, max: 100_000 }).describe(
      'Unknown keys, and webhooks with a wrong signature, that an address may go on sending each second; more are `rate_limited` before anything is looked up. Of IPv6 a network of 64 bits is one address.',
    ),
    AUTH_FAILURES_BURST: integer({ default: 200, min: 1, max: 1_000_000 }).describe(
      'How many of them may come at once, those included that are still being looked at.',
    ),
    AUTH_FAILURES_IN_ALL_PER_SECOND: integer({ default: 200, min: 1, max: 1_000_000 }).describe(
      'The same of all addresses together, five seconds’ worth at once: beyond it whoever has failed lately is refused. Per process.',
    ),
    AUTH_LOOKUPS: integer({ default: 3, min: 1, max: 100 }).describe(
      'Keys that a process has not seen before and looks up at once. The others wait, and go by address in turn.',
    ),
    AUTH_LOOKUPS_WAITING: integer({ default: 100, min: 1, max: 100_000 }).describe(
      'Keys of one address that may wait to be looked up.',
    ),
    AUTH_LOOKUPS_WAITING_IN_ALL: integer({ default: 1_000, min: 1, max: 1_000_000 }).describe(
      'The same of all addresses.',
    ),
  },
  checks: [
    atMost('AUTH_FAILURES_PER_SECOND', 'AUTH_FAILURES_IN_ALL_PER_SECOND'),
    atMost('AUTH_LOOKUPS_WAITING', 'AUTH_LOOKUPS_WAITING_IN_ALL'),
  ],
});

export type TenancySettings = SettingsOf<typeof TENANCY_SETTINGS>;
