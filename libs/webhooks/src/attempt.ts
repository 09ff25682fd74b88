import type { Span } from '@opentelemetry/api';
import type { Clock } from '#kernel/clock.js';
import { positionText } from '#outbox/log/position.js';
import { type HttpAnswer, type PublicHttp, RequestAborted, RequestFailed } from '#platform/public-http.js';
import { endRequestSpan, failRequestSpan, startRequestSpan } from '#platform/request-spans.js';
import { ATTRIBUTE } from '#platform/span-names.js';
import { signatureOf } from '#platform/standard-webhooks.js';
import { isSampled, linksTo, startFrom, traceparentOf } from '#platform/tracing.js';
import type { DueDelivery, EndpointLease, Verdict } from './delivery-store.js';
import { nextDelayMs, parseRetryAfter, type RetryRules } from './retry-schedule.js';

const GONE = 410;

/** One request, in a span below `within`, and what is to be recorded of it. Undefined when it was dropped because the process ends. */
export async function attemptOf(
  { http, clock, rules, signal }: { http: PublicHttp; clock: Clock; rules: RetryRules; signal: AbortSignal },
  lease: EndpointLease,
  delivery: DueDelivery,
  within: Span,
): Promise<Verdict | undefined> {
  const atMs = clock.now();
  const { event } = delivery;
  if (!event) {
    const attempt = { atMs, error: 'event_no_longer_kept', durationMs: 0 };
    return { outcome: 'lapsed', status: 'failed', tries: delivery.tries, nextDelayMs: undefined, gone: false, attempt };
  }
  const startMs = clock.monotonic();
  const span = attemptSpan(lease, delivery, within);
  const traceContext = traceparentOf(span) ?? event.traceContext;
  const message = messageFor(lease, delivery, { ...event, traceContext }, atMs);
  let answer: HttpAnswer | undefined;
  let error: string | undefined;
  try {
    answer = await http.post(lease.url, message, signal);
  } catch (cause) {
    failRequestSpan(span, cause);
    if (cause instanceof RequestAborted) return undefined;
    if (!(cause instanceof RequestFailed)) throw cause;
    error = cause.message;
  }
  const isDelivered = answer !== undefined && answer.statusCode >= 200 && answer.statusCode < 300;
  if (answer) endRequestSpan(span, answer.statusCode, isDelivered);
  const attempt = {
    atMs,
    durationMs: Math.round(clock.monotonic() - startMs),
    ...(error !== undefined && { error }),
    ...(answer && { statusCode: answer.statusCode, response: answer.body }),
    ...(isSampled(traceContext) && { traceContext }),
  };
  if (isDelivered)
    return { outcome: 'delivered', status: 'delivered', tries: 0, nextDelayMs: undefined, gone: false, attempt };
  const tries = delivery.tries + 1;
  const retryAfterMs = parseRetryAfter(answer?.retryAfter, clock.now());
  const delayMs = delivery.redelivery ? undefined : nextDelayMs(rules, tries, retryAfterMs, Math.random());
  return {
    outcome: 'failed',
    status: delayMs === undefined ? 'failed' : 'due',
    tries,
    nextDelayMs: delayMs,
    gone: answer?.statusCode === GONE,
    attempt,
  };
}

/** Of an attempt and its record, in the trace of what the event tells of. */
export function deliverySpan({ merchantId, endpointId }: EndpointLease, { id, type, event }: DueDelivery): Span {
  return startFrom(event?.traceContext, 'deliver webhook', {
    attributes: {
      [ATTRIBUTE.merchantId]: String(merchantId),
      'counterfoil.webhook_endpoint_id': String(endpointId),
      'counterfoil.webhook_delivery_id': String(id),
      'counterfoil.event_type': type,
    },
  });
}

/** Linked to the attempt before it. */
function attemptSpan({ url }: EndpointLease, { tries, triedIn }: DueDelivery, within: Span): Span {
  const request = { method: 'POST', of: 'webhook', url };
  return startRequestSpan(within, request, {
    links: linksTo(triedIn === undefined ? [] : [triedIn]),
    ...(tries > 0 && { attributes: { 'http.request.resend_count': tries } }),
  });
}

/** The request of Standard Webhooks. `data` is the event's own, as it was written, and `version` its shape. */
function messageFor(
  { keys }: EndpointLease,
  { xid, seq, type }: DueDelivery,
  event: NonNullable<DueDelivery['event']>,
  nowMs: number,
): { headers: Record<string, string>; body: string } {
  const id = positionText({ xid, seq });
  const timestampS = Math.floor(nowMs / 1_000);
  const occurredAt = new Date(event.occurredAtMs).toISOString();
  const body = `{"id":"${id}","type":${JSON.stringify(type)},"version":${event.version},"timestamp":"${occurredAt}","data":${event.data}}`;
  return {
    headers: {
      'content-type': 'application/json',
      'user-agent': 'Counterfoil-Webhooks/1',
      'webhook-id': id,
      'webhook-timestamp': String(timestampS),
      'webhook-signature': signatureOf(keys, id, timestampS, body),
      ...(event.traceContext !== undefined && { traceparent: event.traceContext }),
    },
    body,
  };
}
