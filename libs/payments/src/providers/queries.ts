import { jsonOf } from '#platform/signatures.js';
import type { ProviderQuery } from './provider-query.js';

/** `{"events": […]}` in the contract's own form, whatever stands beside it. */
export const GENERIC_QUERY: ProviderQuery = {
  hasOwnUrl: false,
  urlOf: (base, paymentRef) => `${base}/${encodeURIComponent(paymentRef)}`,
  messageOf(answer) {
    const given = jsonOf(Buffer.from(answer));
    if (typeof given !== 'object' || given === null || !('events' in given) || !Array.isArray(given.events))
      return undefined;
    return { events: given.events };
  },
};

/** What is known is as of now, but for what was captured as it was authorised. */
function chargeEvent({ capture_method }: Answered): string {
  return capture_method === 'automatic' || capture_method === 'automatic_async' ? 'charge.succeeded' : 'charge.updated';
}

interface Answered {
  readonly object?: unknown;
  readonly status?: unknown;
  readonly capture_method?: unknown;
  readonly latest_charge?: unknown;
}

const INTENT_EVENTS: Readonly<Record<string, string>> = {
  requires_capture: 'payment_intent.amount_capturable_updated',
  succeeded: 'payment_intent.succeeded',
  canceled: 'payment_intent.canceled',
};

/** The snapshot as an event of the time of asking: of the charge, which tells of refunds as well, else of the PaymentIntent. */
function eventOf(given: Answered): { type: string; object: object } | undefined {
  if (given.object === 'charge') return { type: 'charge.updated', object: given };
  const { latest_charge: charge, status } = given;
  if (status !== 'canceled' && typeof charge === 'object' && charge !== null)
    return { type: chargeEvent(given), object: charge };
  const type =
    typeof status === 'string' && Object.hasOwn(INTENT_EVENTS, status)
      ? INTENT_EVENTS[status]
      : 'payment_intent.processing';
  return given.object === 'payment_intent' && type ? { type, object: given } : undefined;
}

/** Stripe knows payments by a PaymentIntent, older ones by a charge. */
export const STRIPE_QUERY: ProviderQuery = {
  hasOwnUrl: true,
  urlOf: (base, paymentRef) =>
    /^(ch|py)_/.test(paymentRef)
      ? `${base}/v1/charges/${encodeURIComponent(paymentRef)}`
      : `${base}/v1/payment_intents/${encodeURIComponent(paymentRef)}?expand[]=latest_charge`,
  messageOf(answer, askedAtMs) {
    const given = jsonOf(Buffer.from(answer));
    const event = typeof given === 'object' && given !== null ? eventOf(given) : undefined;
    const created = Math.floor(askedAtMs / 1_000);
    return event && { id: `asked_${created}`, type: event.type, created, data: { object: event.object } };
  },
};
