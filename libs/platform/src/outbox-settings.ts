import type { z } from 'zod';
import { integer } from './config-fields.js';

/** Relay, consumers, and those who follow the log over HTTP. */
export const OUTBOX_ENVIRONMENT = {
  RELAY_BUSY_MS: integer({ default: 10, min: 1, max: 1_000 }).describe(
    'Wait of the relay between two looks at the log while there are events.',
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
    'After this long, events that were handed over and not applied are handed over again.',
  ),
  RELAY_MAX_HOLD_MS: integer({ default: 60_000, min: 0, max: 86_400_000 }).describe(
    'Age from which the relay ends transactions of the service’s own role that hold back the log. 0: never.',
  ),
  CONSUMER_PAGE: integer({ default: 500, min: 1, max: 10_000 }).describe(
    'Events that a consumer applies in one transaction.',
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
  EVENT_WAIT_MAX_MS: integer({ default: 30_000, min: 0, max: 300_000 }).describe(
    'Longest that `GET /v1/events?wait_ms=` waits; REQUEST_DEADLINE_MS ends it earlier, if that is less.',
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
  EVENT_STREAM_MAX_MS: integer({ default: 300_000, min: 100, max: 86_400_000 }).describe(
    'How long a stream of events lasts; its client goes on with `Last-Event-ID`.',
  ),
  EVENT_HEARTBEAT_MS: integer({ default: 10_000, min: 100, max: 300_000 }).describe(
    'How often a stream of events says that it is alive while there are none. Less than a proxy’s idle timeout.',
  ),
};

export interface OutboxSettings {
  readonly relayBusyMs: number;
  readonly relayIdleMs: number;
  readonly relayLeaseMs: number;
  readonly relayStretch: number;
  readonly relayResendMs: number;
  readonly relayMaxHoldMs: number;
  readonly consumerPage: number;
  readonly consumerTries: number;
  readonly consumerTimeoutMs: number;
  readonly consumerJobLockMs: number;
  readonly consumerMemoryMb: number;
  readonly reactorConcurrency: number;
  readonly eventRetentionDays: number;
  readonly eventWaitMaxMs: number;
  readonly eventPollMs: number;
  readonly eventFollowers: number;
  readonly eventFollowersPerMerchant: number;
  readonly eventStreamMaxMs: number;
  readonly eventHeartbeatMs: number;
}

export function outboxSettings(values: z.output<z.ZodObject<typeof OUTBOX_ENVIRONMENT>>): OutboxSettings {
  return Object.freeze({
    relayBusyMs: values.RELAY_BUSY_MS,
    relayIdleMs: values.RELAY_IDLE_MS,
    relayLeaseMs: values.RELAY_LEASE_MS,
    relayStretch: values.RELAY_STRETCH,
    relayResendMs: values.RELAY_RESEND_MS,
    relayMaxHoldMs: values.RELAY_MAX_HOLD_MS,
    consumerPage: values.CONSUMER_PAGE,
    consumerTries: values.CONSUMER_TRIES,
    consumerTimeoutMs: values.CONSUMER_TIMEOUT_MS,
    consumerJobLockMs: values.CONSUMER_JOB_LOCK_MS,
    consumerMemoryMb: values.CONSUMER_MEMORY_MB,
    reactorConcurrency: values.REACTOR_CONCURRENCY,
    eventRetentionDays: values.EVENT_RETENTION_DAYS,
    eventWaitMaxMs: values.EVENT_WAIT_MAX_MS,
    eventPollMs: values.EVENT_POLL_MS,
    eventFollowers: values.EVENT_FOLLOWERS,
    eventFollowersPerMerchant: values.EVENT_FOLLOWERS_PER_MERCHANT,
    eventStreamMaxMs: values.EVENT_STREAM_MAX_MS,
    eventHeartbeatMs: values.EVENT_HEARTBEAT_MS,
  });
}
