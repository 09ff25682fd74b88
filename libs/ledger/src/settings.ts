import { OUTBOX_SETTINGS, type OutboxSettings } from '#outbox/settings.js';
import { integer } from '#platform/config-fields.js';
import { greater, roomSettings, type SettingsOf, zeroOrAtLeast } from '#platform/room-settings.js';

export const LEDGER_SETTINGS = roomSettings({
  room: 'libs/ledger',
  reads: [OUTBOX_SETTINGS],
  fields: {
    WRITER_LANES: integer({ default: 2, min: 1, max: 16 }).describe(
      'Commit groups of many merchants that the writer has in flight at once.',
    ),
    WRITER_APART_LANES: integer({ default: 1, min: 1, max: 16 }).describe(
      'Commit groups of one merchant by itself in flight besides: requests of more than a quarter of WRITER_GROUP_SIZE, and merchants that another process keeps locked.',
    ),
    WRITER_LANE_CAPACITY: integer({ default: 2_000, min: 1, max: 100_000 }).describe(
      'Requests that may wait for each of WRITER_LANES, for their group or for their balances to be told; beyond that the answer is `overloaded`.',
    ),
    WRITER_MERCHANT_CAPACITY: integer({ default: 1_000, min: 1, max: 100_000 }).describe(
      'Those of one merchant, in all: beyond that the answer is `overloaded` to this one alone.',
    ),
    WRITER_GROUP_SIZE: integer({ default: 200, min: 1, max: 10_000 }).describe(
      'Postings of two entries that one database transaction carries at most; of larger ones as many fewer.',
    ),
    WRITER_ATTEMPTS: integer({ default: 5, min: 1, max: 20 }).describe(
      'How often a group is tried after serialization failures, deadlocks and lost connections.',
    ),
    WRITER_LOCK_WAIT_MS: integer({ default: 50, min: 0, max: 60_000 }).describe(
      'How long a group of many waits for merchants that other processes keep locked; then it goes on without them, and they go apart.',
    ),
    WRITER_APART_LOCK_WAIT_MS: integer({ default: 1_000, min: 10, max: 60_000 }).describe(
      'How long a merchant by itself waits for its lock before others that go apart have their turn.',
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
  checks: [
    greater('WRITER_GROUP_TIMEOUT_MS', 'WRITER_APART_LOCK_WAIT_MS'),
    greater('WRITER_APART_LOCK_WAIT_MS', 'WRITER_LOCK_WAIT_MS'),
    zeroOrAtLeast('RELAY_MAX_HOLD_MS', 'WRITER_GROUP_TIMEOUT_MS'),
  ],
});

/** What the room reads. */
export type LedgerSettings = OutboxSettings & SettingsOf<typeof LEDGER_SETTINGS>;
