import { askSchedule } from '#platform/ask-schedule.js';
import { integer, url } from '#platform/config-fields.js';

/** When something is done about payments, and how long it takes at most. */
export const TIMER_FIELDS = {
  AUTHORISATION_EXPIRY_HOURS: integer({ default: 168, min: 1, max: 8_760 }).describe(
    'How long a payment that is opened with `capture` `manual` holds its amount. Of payments that a provider began, the provider alone says when.',
  ),
  PARKED_FACT_MAX_AGE_HOURS: integer({ default: 168, min: 1, max: 8_760 }).describe(
    'How long a fact waits for its cause before it is a dead letter. When the cause arrives later, it is applied all the same.',
  ),
  PAYMENT_TIMERS_POLL_MS: integer({ default: 1_000, min: 50, max: 600_000 }).describe(
    'How long the worker waits at most before it asks what of payments is due. It asks sooner where it knows of something.',
  ),
  PAYMENT_QUERY_SCHEDULE_S: askSchedule('300,3600,86400').describe(
    'Seconds after which a provider is asked about what is unknown or unconfirmed; the last goes on as an interval.',
  ),
  PAYMENT_QUERY_CONCURRENCY: integer({ default: 8, min: 1, max: 100 }).describe(
    'Questions to providers that a worker has in hand at once.',
  ),
  PAYMENT_QUERY_TIMEOUT_MS: integer({ default: 5_000, min: 10, max: 8_000 }).describe(
    'Deadline of one question to a provider, from the look-up of its name to the end of the answer.',
  ),
  PAYMENT_QUERY_ANSWER_BYTES: integer({ default: 1_048_576, min: 1_024, max: 16_777_216 }).describe(
    'Largest answer that is read; a larger one has failed.',
  ),
  STRIPE_API_URL: url(['https', 'http'])
    .default('https://api.stripe.com')
    .describe('Where Stripe is asked about payments.'),
};
