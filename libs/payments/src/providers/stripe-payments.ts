import { z } from 'zod';
import type { Told } from './provider.js';
import {
  objectOf,
  optionalReference,
  optionalSeconds,
  type StripeEvent,
  stripeObject,
  type Telling,
  tellings,
} from './stripe-event.js';

const amount = z.number();

const charge = stripeObject.extend({
  amount,
  amount_captured: amount.optional(),
  amount_refunded: amount.default(0),
  captured: z.boolean().default(false),
  status: z.string(),
  payment_intent: optionalReference,
  failure_code: z.string().nullish(),
});
type Charge = z.output<typeof charge>;

const paymentIntent = stripeObject.extend({
  amount,
  amount_capturable: amount.default(0),
  amount_received: amount.default(0),
  status: z.string(),
  canceled_at: optionalSeconds,
  cancellation_reason: z.string().nullish(),
  last_payment_error: z.looseObject({ code: z.string().nullish(), decline_code: z.string().nullish() }).nullish(),
});

/** A snapshot: everything that the charge comes to so far, whichever change the event was made for. */
export function chargeFacts(event: StripeEvent): Told[] {
  const object = objectOf(charge, event);
  const paymentRef = object.payment_intent ?? object.id;
  if (object.status === 'pending') return [{ what: event.type, ignored: 'the charge is pending: nothing is decided' }];
  if (object.status === 'failed') {
    const failed = {
      type: 'authorisation_failed',
      amount: object.amount,
      atS: object.created,
      ...reason(object.failure_code),
    } as const;
    return tellings(event, { paymentRef, object }, [failed]);
  }
  return tellings(event, { paymentRef, object }, snapshot(event, object));
}

function snapshot(event: StripeEvent, object: Charge): Telling[] {
  const captured = object.amount_captured ?? (object.captured ? object.amount : 0);
  const refunded = refundedOf(object, captured);
  const isExpired = event.type === 'charge.expired';
  // Without a PaymentIntent there is one capture, and it gives back the rest.
  const givesBack = captured > 0 && captured < object.amount && object.captured && !object.payment_intent;
  const isReleased = givesBack || (captured === 0 && object.amount_refunded > 0);
  const atOnce = event.type === 'charge.succeeded' ? object.created : undefined;
  return [
    { type: 'authorised', amount: object.amount, amountKind: 'cumulative', atS: object.created },
    ...(captured > 0 ? [total('captured', captured, atOnce)] : []),
    ...(isExpired ? [{ type: 'expired' } as const] : isReleased ? [{ type: 'voided', atS: atOnce } as const] : []),
    ...(refunded > 0 ? [total('refunded', refunded)] : []),
  ];
}

/** What a capture leaves of the authorisation is given back, and Stripe counts it as refunded, which no captured money was. */
function refundedOf({ amount: authorised, amount_refunded }: Charge, captured: number): number {
  return captured === 0 ? 0 : Math.max(0, amount_refunded - Math.max(0, authorised - captured));
}

/** Of the whole payment so far: a PaymentIntent has one charge that succeeds. */
function total(type: 'captured' | 'refunded', amount: number, atS?: number): Telling {
  return { type, amount, amountKind: 'cumulative', atS };
}

export function paymentIntentFacts(event: StripeEvent): Told[] {
  const object = objectOf(paymentIntent, event);
  const { amount_received: received, amount_capturable: capturable } = object;
  const of = { paymentRef: object.id, object };
  if (event.type === 'payment_intent.payment_failed') {
    const { decline_code, code } = object.last_payment_error ?? {};
    return tellings(event, of, [
      { type: 'authorisation_failed', amount: object.amount, ...reason(decline_code ?? code) },
    ]);
  }
  const isDone = event.type === 'payment_intent.succeeded';
  const authorised = isDone ? object.amount : received + capturable;
  return tellings(event, of, [
    ...(authorised > 0 ? [{ type: 'authorised', amount: authorised, amountKind: 'cumulative' } as const] : []),
    ...(received > 0 ? [total('captured', received)] : []),
    ...(event.type === 'payment_intent.canceled' ? [ended(object)] : []),
    // Nothing more can be captured: the rest of the hold is given back.
    ...(isDone && received < object.amount ? [{ type: 'voided' } as const] : []),
  ]);
}

function ended({ cancellation_reason, canceled_at }: z.output<typeof paymentIntent>): Telling {
  const type = cancellation_reason === 'expired' ? 'expired' : 'voided';
  return { type, atS: canceled_at, ...reason(cancellation_reason) };
}

function reason(text: string | null | undefined): { reason?: string } {
  return text ? { reason: text.slice(0, 200) } : {};
}
