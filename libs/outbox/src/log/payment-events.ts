import { z } from 'zod';
import { amount, currency, id, time } from './event-fields.js';
import { EventSchema } from './event-schema.js';

/** The events of payments: all of one shape. Each is a fact that was applied, with the payment as it then is. */

const objectRef = z.string().nullable().describe('The provider’s id of it, or that of the request that asked for it.');

const movement = z.strictObject({
  object_ref: objectRef,
  amount,
  status: z
    .enum(['requested', 'succeeded', 'failed', 'reversed'])
    .describe('`requested`: nobody but the merchant says so yet; it counts all the same.'),
});

const dispute = z.strictObject({
  object_ref: objectRef,
  amount,
  stage: z.enum(['inquiry', 'chargeback', 'second_chargeback', 'pre_arbitration']),
  outcome: z.enum(['open', 'won', 'lost']),
  funds_withdrawn: amount,
  funds_reinstated: amount,
  fee: amount,
});

const payment = z.strictObject({
  id,
  merchant_id: id,
  status: z.enum([
    'authorised',
    'failed',
    'voided',
    'expired',
    'partially_captured',
    'captured',
    'partially_refunded',
    'refunded',
  ]),
  amount,
  currency,
  capture: z.enum(['automatic', 'manual']).nullable().describe('Null: told by its provider alone.'),
  provider: z.string().nullable(),
  provider_ref: z.string().nullable().describe('The provider’s id of the payment.'),
  description: z.string().nullable(),
  metadata: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  created_at: time,
  expires_at: time.nullable(),
  amount_authorised: amount,
  amount_capturable: amount.describe('What is still held, in minor units.'),
  amount_captured: amount,
  amount_refunded: amount,
  amount_disputed: amount.describe('Of disputes that are open or lost, in minor units.'),
  amount_settled: amount,
  captures: z.array(movement),
  refunds: z.array(movement),
  disputes: z.array(dispute),
  settlements: z.array(z.strictObject({ object_ref: objectRef, amount, fee: amount })),
  findings: z
    .array(z.strictObject({ kind: z.string(), detail: z.string() }))
    .describe('What its facts say against each other.'),
});

const applied = z.strictObject({
  payment,
  fact: z.strictObject({
    source: z.enum(['request', 'provider']),
    event_id: z.string().describe('The provider’s, or `request:<id>`.'),
    amount: amount.nullable(),
    currency: currency.nullable(),
    object_ref: objectRef,
    reason: z.string().nullable(),
    occurred_at: time.describe('As who tells it says.'),
  }),
  transaction_id: id.nullable().describe('Of what it changed on the accounts; null: nothing there.'),
});

function event(tells: string) {
  return EventSchema.first(tells, applied);
}

export const PAYMENT_EVENTS = {
  'payment.authorised': event('A payment is authorised: its amount is held until it is captured or given back.'),
  'payment.authorisation_adjusted': event('Another amount of a payment is authorised.'),
  'payment.authorisation_failed': event('The provider refused a payment.'),
  'payment.captured': event('Money of a payment was captured.'),
  'payment.capture_failed': event('A capture failed after all.'),
  'payment.voided': event('What was still held of a payment was given back.'),
  'payment.expired': event('What was still held of a payment was given back, because its time was up.'),
  'payment.refunded': event('Money of a payment was given back to who had paid.'),
  'payment.refund_failed': event('A refund failed after all.'),
  'payment.refund_reversed': event('A refund came back.'),
  'payment.dispute_opened': event('A payment is disputed, or its dispute reached another stage.'),
  'payment.dispute_funds_withdrawn': event('The provider took the money of a dispute.'),
  'payment.dispute_funds_reinstated': event('The provider gave the money of a dispute back.'),
  'payment.dispute_won': event('A dispute was decided for the merchant.'),
  'payment.dispute_lost': event('A dispute was decided against the merchant.'),
  'payment.dispute_fee': event('The provider charged for a dispute.'),
  'payment.settled': event('The provider paid out money of a payment, less its fee.'),
} as const;
