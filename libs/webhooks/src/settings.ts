import type { OutboxSettings } from '#outbox/settings.js';
import { integer, list } from '#platform/config-fields.js';
import { atMost, roomSettings, type SettingsOf } from '#platform/room-settings.js';

const MAX_TRIES = 50;
const MAX_WAIT_S = 7 * 86_400;

/** The waits that Standard Webhooks suggests: three days from the first try to the last. */
const DEFAULT_SCHEDULE_S = '5,300,1800,7200,18000,36000,50400,72000,86400';
const SCHEDULE = `must be up to ${MAX_TRIES} whole numbers from 1 to ${MAX_WAIT_S}, separated by commas`;

export const WEBHOOKS_SETTINGS = roomSettings({
  room: 'libs/webhooks',
  fields: {
    WEBHOOK_ENDPOINTS_PER_MERCHANT: integer({ default: 20, min: 1, max: 1_000 }).describe(
      'Webhook endpoints that a merchant may have.',
    ),
    WEBHOOK_SECRET_OVERLAP_HOURS: integer({ default: 24, min: 0, max: 720 }).describe(
      'How long a secret goes on signing after it was rotated; five sign at most.',
    ),
    WEBHOOK_POLL_MS: integer({ default: 30_000, min: 10, max: 600_000 }).describe(
      'How often the worker looks for webhook deliveries that are due and that nothing told it of: a safety net, for hints that were lost and workers that died.',
    ),
    WEBHOOK_CONCURRENCY: integer({ default: 50, min: 1, max: 1_000 }).describe(
      'Webhook requests that a worker has in hand at once, but for slow ones.',
    ),
    WEBHOOK_MERCHANT_CONCURRENCY: integer({ default: 12, min: 1, max: 1_000 }).describe(
      'How many of them one merchant gets, slow ones included: by default a fourth, so that three whose endpoints hang leave room even before these count as slow.',
    ),
    WEBHOOK_SLOW_MS: integer({ default: 1_000, min: 10, max: 120_000 }).describe(
      'A webhook request that is not answered after so long is a slow one: it gives its room to others.',
    ),
    WEBHOOK_SLOW_CONCURRENCY: integer({ default: 200, min: 0, max: 10_000 }).describe(
      'Slow webhook requests that a worker has in hand beside WEBHOOK_CONCURRENCY; more of them keep their room.',
    ),
    WEBHOOK_ENDPOINT_CONCURRENCY: integer({ default: 10, min: 1, max: 100 }).describe(
      'How many of them one endpoint gets, if its `ordering` is `none`; an endpoint whose is `strict` gets one.',
    ),
    WEBHOOK_CONNECT_TIMEOUT_MS: integer({ default: 5_000, min: 10, max: 60_000 }).describe(
      'How long finding and connecting to an endpoint may take, TLS included.',
    ),
    WEBHOOK_HEADERS_TIMEOUT_MS: integer({ default: 10_000, min: 10, max: 60_000 }).describe(
      'How long an endpoint, once connected, may take to begin its answer.',
    ),
    WEBHOOK_TIMEOUT_MS: integer({ default: 15_000, min: 10, max: 120_000 }).describe(
      'Deadline of one webhook request, from the look-up of its name to the end of the answer.',
    ),
    WEBHOOK_RESPONSE_BYTES: integer({ default: 1_024, min: 0, max: 65_536 }).describe(
      'How much of an endpoint’s answer is read and kept in the delivery log.',
    ),
    WEBHOOK_RETRY_SCHEDULE_S: list((wait) => /^[1-9][0-9]{0,5}$/.test(wait) && Number(wait) <= MAX_WAIT_S, SCHEDULE)
      .refine((waits) => waits.length <= MAX_TRIES, SCHEDULE)
      .transform((waits): readonly number[] => waits.map(Number))
      .prefault(DEFAULT_SCHEDULE_S)
      .describe(
        'Seconds to wait after each failed try of a webhook; after one more failure than there are waits the delivery has failed. Up to a fifth is added at random.',
      ),
    WEBHOOK_RETRY_AFTER_MAX_S: integer({ default: 86_400, min: 0, max: MAX_WAIT_S }).describe(
      'Longest wait that an endpoint can ask for with `Retry-After`.',
    ),
    WEBHOOK_DISABLE_AFTER_HOURS: integer({ default: 120, min: 1, max: 8_760 }).describe(
      'After this long without a single success an endpoint is disabled, which an event tells.',
    ),
    WEBHOOK_RETENTION_DAYS: integer({ default: 30, min: 1, max: 3_650 }).describe(
      'How long deliveries that are no longer due stay in the log, and with them the ids that keep an event from being delivered twice.',
    ),
  },
  checks: [
    atMost('WEBHOOK_CONNECT_TIMEOUT_MS', 'WEBHOOK_TIMEOUT_MS'),
    atMost('WEBHOOK_HEADERS_TIMEOUT_MS', 'WEBHOOK_TIMEOUT_MS'),
  ],
});

/** What the room reads. */
export type WebhooksSettings = OutboxSettings & SettingsOf<typeof WEBHOOKS_SETTINGS>;
