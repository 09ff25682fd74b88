import { integer } from '#platform/config-fields.js';
import { atMost, roomSettings, type SettingsOf, zeroOrAtLeast } from '#platform/room-settings.js';
import type { PlatformSettings } from '#platform/settings.js';

export const OUTBOX_SETTINGS = roomSettings({
  room: 'libs/outbox',
  fields: {
    RELAY_BUSY_MS: integer({ default: 25, min: 1, max: 1_000 }).describe(
      'Wait of the relay after a look at the log that found events, whoever hints. What is committed meanwhile goes together.',
    ),
    RELAY_IDLE_MS: integer({ default: 250, min: 1, max: 60_000 }).describe(
      'Longest such wait while there are none. A hint from whoever commits ends it, where Redis carries it.',
    ),
    RELAY_LEASE_MS: integer({ default: 10_000, min: 100, max: 300_000 }).describe(
      'How long a worker that died keeps its partitions of the log from the others.',
    ),
    RELAY_STRETCH: integer({ default: 1_000, min: 1, max: 100_000 }).describe(
      'Events of a partition that are handed to a consumer as one job.',
    ),
    RELAY_RESEND_MS: integer({ default: 30_000, min: 100, max: 3_600_000 }).describe(
      'After this long, events that were dispatched and not applied are dispatched again.',
    ),
    RELAY_MAX_HOLD_MS: integer({ default: 60_000, min: 0, max: 86_400_000 }).describe(
      'Age from which the relay ends transactions of the service’s own role that hold back the log. 0: never.',
    ),
    CONSUMER_PAGE: integer({ default: 500, min: 1, max: 10_000 }).describe(
      'Events that a consumer applies in one transaction.',
    ),
    CONSUMER_MERCHANT_PAGE: integer({ default: 100, min: 1, max: 10_000 }).describe(
      'A merchant with more events than this in a full page of its partition goes apart until it has caught up: it and the others take turns.',
    ),
    CONSUMER_TRIES: integer({ default: 5, min: 1, max: 11 }).describe(
      'How often a consumer tries one event before it becomes a dead letter.',
    ),
    CONSUMER_TIMEOUT_MS: integer({ default: 10_000, min: 100, max: 300_000 }).describe(
      'Deadline of one transaction of a consumer; a handler that hangs longer is ended.',
    ),
    CONSUMER_JOB_LOCK_MS: integer({ default: 10_000, min: 100, max: 300_000 }).describe(
      'A worker that died keeps its job from the others for this long at most, twice: until the lock ends, and until somebody looks.',
    ),
    CONSUMER_MEMORY_MB: integer({ default: 256, min: 32, max: 8_192 }).describe(
      'Heap of a consumer’s process; a handler that wants more ends it.',
    ),
    REACTOR_CONCURRENCY: integer({ default: 8, min: 1, max: 64 }).describe(
      'Partitions of the log whose events one reactor works on at once, in each worker. The limits of consumers hold for reactors, too.',
    ),
    EVENT_RETENTION_DAYS: integer({ default: 0, min: 0, max: 36_500 }).describe(
      'Age in days from which events are forgotten that every consumer is past. 0: never; what is forgotten can neither be followed nor rebuild a read model.',
    ),
    EVENT_POLL_MS: integer({ default: 40, min: 5, max: 10_000 }).describe(
      'How often a process looks for events that other processes committed, while somebody waits for some: one query for all who wait.',
    ),
    EVENT_FOLLOWERS: integer({ default: 1_000, min: 0, max: 100_000 }).describe(
      'Requests that may wait for events at once in a process, streams included; beyond that the answer is `overloaded`.',
    ),
    EVENT_FOLLOWERS_PER_MERCHANT: integer({ default: 100, min: 0, max: 100_000 }).describe(
      'The same for each merchant, so that one cannot take all the places.',
    ),
  },
  checks: [
    atMost('RELAY_BUSY_MS', 'RELAY_IDLE_MS'),
    zeroOrAtLeast('RELAY_MAX_HOLD_MS', 'CONSUMER_TIMEOUT_MS'),
    atMost('EVENT_FOLLOWERS_PER_MERCHANT', 'EVENT_FOLLOWERS'),
  ],
});

/** What the room reads. */
export type OutboxSettings = PlatformSettings & SettingsOf<typeof OUTBOX_SETTINGS>;
