import type { EventType } from '#outbox/catalogue.js';

export type EndpointStatus = 'enabled' | 'disabled';
/** `failing`: nothing but failures for WEBHOOK_DISABLE_AFTER_HOURS; `gone`: it answered 410. */
export type DisabledReason = 'failing' | 'gone';

/** `none`: several at once, each waits for its own retry; `strict`: the log's, one after another. */
export type Ordering = 'none' | 'strict';

export interface WebhookEndpoint {
  id: bigint;
  url: string;
  /** Null: every type. */
  eventTypes: EventType[] | null;
  ordering: Ordering;
  status: EndpointStatus;
  disabledReason: DisabledReason | null;
  /** Of the first failure since the last success, in milliseconds since 1970. */
  failingSinceMs: number | null;
}

/** `delivered` and `failed` tell the last attempt; what is `due` is sent when its turn comes. */
export type DeliveryStatus = 'due' | 'delivered' | 'failed';

export interface WebhookDelivery {
  id: bigint;
  endpointId: bigint;
  /** What its receiver gets as `webhook-id`, each time: the event's id in the log. */
  messageId: string;
  eventType: string;
  status: DeliveryStatus;
  /** Requests sent so far. */
  attempts: number;
  /** Not before then; null unless due. */
  nextAttemptAtMs: number | null;
  /** Of the last success. */
  deliveredAtMs: number | null;
  /** The newest ones, newest first. */
  log: WebhookAttempt[];
}

export interface WebhookAttempt {
  attempt: number;
  atMs: number;
  statusCode: number | null;
  /** A code, such as `headers_timeout`; null when there was an answer. */
  error: string | null;
  durationMs: number;
  /** Beginning of the answer's body. */
  response: string | null;
}
