import { jsonOf } from '#platform/signatures.js';
import { type Provider, type Told, type Translation, Untranslatable } from './provider.js';
import { STRIPE_QUERY } from './queries.js';
import { type StripeEvent, stripeEvent } from './stripe-event.js';
import { chargeFacts, paymentIntentFacts } from './stripe-payments.js';
import { disputeFacts, refundFacts } from './stripe-refunds.js';
import { verifyStripe } from './stripe-signature.js';

/** What each type of event is about; of any other nothing is told of a payment. */
const TRANSLATORS: Readonly<Record<string, (event: StripeEvent) => Told[]>> = {
  'payment_intent.amount_capturable_updated': paymentIntentFacts,
  'payment_intent.succeeded': paymentIntentFacts,
  'payment_intent.canceled': paymentIntentFacts,
  'payment_intent.payment_failed': paymentIntentFacts,
  'charge.succeeded': chargeFacts,
  'charge.captured': chargeFacts,
  'charge.updated': chargeFacts,
  'charge.failed': chargeFacts,
  'charge.expired': chargeFacts,
  'charge.refunded': chargeFacts,
  'refund.created': refundFacts,
  'refund.updated': refundFacts,
  'refund.failed': refundFacts,
  'charge.refund.updated': refundFacts,
  'charge.dispute.created': disputeFacts,
  'charge.dispute.updated': disputeFacts,
  'charge.dispute.closed': disputeFacts,
  'charge.dispute.funds_withdrawn': disputeFacts,
  'charge.dispute.funds_reinstated': disputeFacts,
};

function translate(body: Buffer): Translation {
  const read = stripeEvent.safeParse(jsonOf(body));
  if (!read.success) return { unreadable: 'it is no event of Stripe’s' };
  const event = read.data;
  const translator = Object.hasOwn(TRANSLATORS, event.type) ? TRANSLATORS[event.type] : undefined;
  if (!translator) return { told: [{ what: event.type, ignored: 'events of this type tell nothing of a payment' }] };
  try {
    return { told: translator(event) };
  } catch (error) {
    if (!(error instanceof Untranslatable)) throw error;
    return { told: [{ what: event.type, ignored: error.message }] };
  }
}

export const STRIPE: Provider = {
  secretForm: 'the signing secret of the endpoint in Stripe’s dashboard: whsec_ and letters or digits',
  // Stripe signs with the characters of the secret as they stand.
  keyOf: (secret) => (/^whsec_[A-Za-z0-9+/=_-]{16,200}$/.test(secret) ? Buffer.from(secret) : undefined),
  verify: verifyStripe,
  translate,
  query: STRIPE_QUERY,
};
