import { integer } from '#platform/config-fields.js';
import { roomSettings, type SettingsOf } from '#platform/room-settings.js';
import type { PlatformSettings } from '#platform/settings.js';
import type { Plan } from './plan.js';

const MOST_UNITS = 100_000_000;

export const LIMITS_SETTINGS = roomSettings({
  room: 'libs/limits',
  fields: {
    LIMIT_UNITS_PER_SECOND: integer({ default: 100_000, min: 1, max: MOST_UNITS }).describe(
      'Units a second that a merchant without limits of its own may spend, in all processes together. A unit is 0.1 ms of CPU: docs/limits.md.',
    ),
    LIMIT_BURST_UNITS: integer({ default: 200_000, min: 1, max: MOST_UNITS }).describe(
      'Units that it may spend at once, after a while without.',
    ),
    LIMIT_UNITS_IN_FLIGHT: integer({ default: 20_000, min: 1, max: MOST_UNITS }).describe(
      'Units of its requests that may be served at one time.',
    ),
    LIMIT_LEASE_MS: integer({ default: 100, min: 1, max: 10_000 }).describe(
      'For how long a process takes units from a merchant’s budget in advance, as it has lately spent them.',
    ),
    LIMIT_REDIS_TIMEOUT_MS: integer({ default: 50, min: 1, max: 10_000 }).describe(
      'Longest wait for the budget in Redis; after it a process spends its share of what it last knew.',
    ),
    LIMIT_PLAN_CACHE_MS: integer({ default: 5_000, min: 0, max: 60_000 }).describe(
      'How long a process trusts a merchant’s limits that it looked up.',
    ),
    LIMIT_USAGE_FLUSH_MS: integer({ default: 5_000, min: 10, max: 600_000 }).describe(
      'How often what merchants have used is written: `GET /v1/usage` is behind by so long, and a process that is killed loses that much of it.',
    ),
    LIMIT_USAGE_RETENTION_DAYS: integer({ default: 90, min: 1, max: 3_650 }).describe(
      'How long it is told by the hour.',
    ),
  },
});

export type LimitsSettings = PlatformSettings & SettingsOf<typeof LIMITS_SETTINGS>;

/** Of merchants that have none of their own. */
export function defaultPlan(settings: LimitsSettings): Plan {
  return {
    unitsPerSecond: settings.limitUnitsPerSecond,
    burstUnits: settings.limitBurstUnits,
    unitsInFlight: settings.limitUnitsInFlight,
    weight: 1,
  };
}
