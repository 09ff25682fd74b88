import { OUTBOX_SETTINGS, type OutboxSettings } from '#outbox/settings.js';
import { integer } from '#platform/config-fields.js';
import { roomSettings, type SettingsOf, zeroOrAtLeast } from '#platform/room-settings.js';

export const LEDGER_SETTINGS = roomSettings({
  room: 'libs/ledger',
  reads: [OUTBOX_SETTINGS],
  fields: {
    WRITER_LANES: integer({ default: 2, min: 1, max: 16 }).describe(
      'Lanes of the group-commit writer; a merchant stays in one.',
    ),
    WRITER_LANE_CAPACITY: integer({ default: 2_000, min: 1, max: 100_000 }).describe(
      'Postings that may wait in a lane, for their group or for their balances to be told; beyond that the answer is `overloaded`.',
    ),
    WRITER_GROUP_SIZE: integer({ default: 200, min: 1, max: 10_000 }).describe(
      'Postings that one database transaction carries at most.',
    ),
    WRITER_ATTEMPTS: integer({ default: 5, min: 1, max: 20 }).describe(
      'How often a group is tried after serialization failures, deadlocks and lost connections.',
    ),
    WRITER_GROUP_TIMEOUT_MS: integer({ default: 6_000, min: 100, max: 60_000 }).describe(
      'Deadline of one group’s transaction.',
    ),
    IDEMPOTENCY_RETENTION_HOURS: integer({ default: 48, min: 24, max: 8_760 }).describe(
      'How long Idempotency-Keys are kept.',
    ),
    EXPIRY_INTERVAL_MS: integer({ default: 1_000, min: 50, max: 3_600_000 }).describe(
      'How long the worker waits at most before it asks which pending transactions have expired. It asks sooner where it knows of one.',
    ),
  },
  checks: [zeroOrAtLeast('RELAY_MAX_HOLD_MS', 'WRITER_GROUP_TIMEOUT_MS')],
});

/** What the room reads. */
export type LedgerSettings = OutboxSettings & SettingsOf<typeof LEDGER_SETTINGS>;
