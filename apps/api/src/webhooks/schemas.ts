import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { CATALOGUE, type EventType } from '#outbox/log/catalogue.js';
import type { WebhookDelivery } from '#webhooks/deliveries.js';
import type { WebhookEndpoint } from '#webhooks/endpoint-store.js';
import { idOut, listOf, timestampOut } from '../schemas.js';

const EVENT_TYPES = Object.keys(CATALOGUE) as [EventType, ...EventType[]];

const ordering = z.enum(['none', 'strict'], 'must be none or strict').meta({
  description:
    '`none`: several deliveries at once; one that fails waits for its own retry and holds up no other. `strict`: in the order of the event log, one at a time; what is behind a failing one waits.',
});

export const createWebhookEndpoint = z
  .strictObject({
    url: z.string('must be a URL').meta({
      description: 'https on the public internet, with no credentials and no fragment.',
      examples: ['https://example.com/webhooks'],
    }),
    event_types: z
      .array(z.enum(EVENT_TYPES, `must be one of ${EVENT_TYPES.join(', ')}`))
      .min(1, 'must name at least one type')
      .refine((types) => new Set(types).size === types.length, 'must name each type once')
      .nullable()
      .optional()
      .meta({ description: 'Only these; null or absent: all, also those that are yet to come.' }),
    ordering: ordering.default('none'),
  })
  .meta({ id: 'CreateWebhookEndpoint' });

export const webhookEndpoint = z
  .looseObject({
    id: idOut,
    merchant_id: idOut,
    url: z.string(),
    event_types: z.array(z.string()).nullable(),
    ordering,
    status: z.enum(['enabled', 'disabled']),
    disabled_reason: z.enum(['failing', 'gone']).nullable().meta({
      description: '`failing`: no success for WEBHOOK_DISABLE_AFTER_HOURS; `gone`: it answered 410.',
    }),
    failing_since: timestampOut.nullable().meta({ description: 'First failure since the last success.' }),
    created_at: timestampOut,
  })
  .meta({ id: 'WebhookEndpoint' });

const secret = z
  .string()
  .regex(/^whsec_[A-Za-z0-9+/]+=*$/)
  .nullable()
  .meta({ description: 'Signs, as Standard Webhooks has it. Shown this once: null in a replay.' });

export const createdWebhookEndpoint = webhookEndpoint.extend({ secret }).meta({ id: 'CreatedWebhookEndpoint' });

export const webhookEndpointList = listOf(webhookEndpoint, 'WebhookEndpointList');

export const webhookDelivery = z
  .looseObject({
    id: idOut,
    endpoint_id: idOut,
    event: z
      .string()
      .meta({ description: 'Its id in the log, and the `webhook-id` that its receiver sees.', examples: ['7311-42'] }),
    event_type: z.string(),
    status: z.enum(['due', 'delivered', 'failed']),
    attempts: z.int(),
    next_attempt_at: timestampOut
      .nullable()
      .meta({ description: 'Not before; behind the head of the line it waits for those before it.' }),
    delivered_at: timestampOut.nullable(),
    log: z
      .array(
        z.looseObject({
          attempt: z.int(),
          at: timestampOut,
          status_code: z.int().nullable(),
          error: z.string().nullable(),
          duration_ms: z.int(),
          response: z.string().nullable().meta({ description: 'The beginning of the answer.' }),
        }),
      )
      .meta({ description: 'The latest attempts, newest first.' }),
    created_at: timestampOut,
  })
  .meta({ id: 'WebhookDelivery' });

export const webhookDeliveryList = listOf(webhookDelivery, 'WebhookDeliveryList');

export function webhookEndpointBody(merchantId: bigint, endpoint: WebhookEndpoint) {
  return {
    id: String(endpoint.id),
    merchant_id: String(merchantId),
    url: endpoint.url,
    event_types: endpoint.eventTypes,
    ordering: endpoint.ordering,
    status: endpoint.status,
    disabled_reason: endpoint.disabledReason,
    failing_since: timeOrNull(endpoint.failingSinceMs),
    created_at: isoTime(snowflakeTimeMs(endpoint.id)),
  };
}

export function webhookDeliveryBody(delivery: WebhookDelivery) {
  return {
    id: String(delivery.id),
    endpoint_id: String(delivery.endpointId),
    event: delivery.messageId,
    event_type: delivery.eventType,
    status: delivery.status,
    attempts: delivery.attempts,
    next_attempt_at: timeOrNull(delivery.nextAttemptAtMs),
    delivered_at: timeOrNull(delivery.deliveredAtMs),
    log: delivery.log.map((attempt) => ({
      attempt: attempt.attempt,
      at: isoTime(attempt.atMs),
      status_code: attempt.statusCode,
      error: attempt.error,
      duration_ms: attempt.durationMs,
      response: attempt.response,
    })),
    created_at: isoTime(snowflakeTimeMs(delivery.id)),
  };
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}
