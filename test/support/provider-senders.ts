import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';

/** Webhooks as providers sign them, each in its own way; their vendors' packages check the same in the specs of the adapters. */
export interface Signed {
  readonly raw: string;
  readonly headers: Record<string, string>;
}

const JSON_TYPE = { 'content-type': 'application/json' };

export const STRIPE_SECRET = 'whsec_9xQ2mVb7LrTz4KcW8nHs1JfYd6GpEu3A';
export const ADYEN_SECRET = '44782def547aaa06c910c43932b1eb0c71fc68d9d0c057550c48ec2acf6ba056';
export const ACME_SECRET = `whsec_${Buffer.from('the key of acme, 32 bytes of it.').toString('base64')}`;

export function stripeSigned(event: object | string, { secret = STRIPE_SECRET, atS = now() } = {}): Signed {
  const raw = typeof event === 'string' ? event : JSON.stringify(event);
  const v1 = createHmac('sha256', secret).update(`${atS}.${raw}`).digest('hex');
  return { raw, headers: { ...JSON_TYPE, 'stripe-signature': `t=${atS},v1=${v1}` } };
}

export function acmeSigned(event: object | string, { secret = ACME_SECRET, atS = now() } = {}): Signed {
  const raw = typeof event === 'string' ? event : JSON.stringify(event);
  const id = `msg_${randomBytes(8).toString('hex')}`;
  const signature = new Webhook(secret).sign(id, new Date(atS * 1_000), raw);
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(atS), 'webhook-signature': signature };
  return { raw, headers: { ...JSON_TYPE, ...headers } };
}

export interface AdyenItem {
  readonly pspReference: string;
  readonly originalReference?: string;
  readonly eventCode: string;
  readonly success?: string;
  readonly value: number;
}

/** An item keeps its date, however often it is sent. */
const EVENT_DATE = new Date().toISOString();

/** One notification with these items; those with `forged` carry a signature of something else. */
export function adyenSigned(items: readonly (AdyenItem & { forged?: boolean })[], secret = ADYEN_SECRET): Signed {
  const notificationItems = items.map(({ forged, value, ...given }) => {
    const item = {
      merchantAccountCode: 'Shop',
      merchantReference: 'order',
      originalReference: '',
      success: 'true',
      ...given,
    };
    const amount = { value, currency: 'EUR' };
    const { pspReference, originalReference, merchantAccountCode, merchantReference, eventCode, success } = item;
    const signed = [
      pspReference,
      originalReference,
      merchantAccountCode,
      merchantReference,
      value,
      'EUR',
      eventCode,
      success,
    ];
    const text = forged ? 'something else' : signed.join(':');
    const hmacSignature = createHmac('sha256', Buffer.from(secret, 'hex')).update(text).digest('base64');
    return { NotificationRequestItem: { ...item, amount, eventDate: EVENT_DATE, additionalData: { hmacSignature } } };
  });
  return { raw: JSON.stringify({ live: 'false', notificationItems }), headers: JSON_TYPE };
}

function now(): number {
  return Math.floor(Date.now() / 1_000);
}

/** A charge as Stripe's events have it. */
export function stripeCharge(id: string, change: object = {}) {
  return {
    id: `ch_${id}`,
    object: 'charge',
    amount: 10_000,
    amount_captured: 10_000,
    amount_refunded: 0,
    captured: true,
    created: now() - 60,
    currency: 'eur',
    payment_intent: `pi_${id}`,
    status: 'succeeded',
    ...change,
  };
}

export function stripeEvent(type: string, object: object, id = `evt_${randomBytes(8).toString('hex')}`) {
  return { id, object: 'event', type, created: now() - 30, data: { object } };
}

export const unique = () => randomUUID().slice(0, 8);

/** An authorisation of 100.00 EUR a minute ago, as the generic form has it. */
export const acmeEvent = (ref: string, change: object = {}) => ({
  event_id: `e-${unique()}`,
  payment_ref: ref,
  type: 'authorised',
  amount: '10000',
  currency: 'EUR',
  occurred_at: new Date(Date.now() - 60_000).toISOString(),
  ...change,
});
