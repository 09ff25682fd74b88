import { z } from 'zod';
import type { NewPayment } from '#payments/payment.commands.js';
import { touchedBalances } from '../accounts/schemas.js';
import {
  amountIn,
  amountOut,
  currencyIn,
  currencyOut,
  idOut,
  listOf,
  listQuery,
  metadataIn,
  metadataOut,
  textIn,
  timestampIn,
  timestampOut,
} from '../schemas.js';
import { factTypeSchema, providerIn, stageSchema } from './fact-schemas.js';

const captureSchema = z.enum(['automatic', 'manual']);

const statusSchema = z.enum([
  'authorised',
  'failed',
  'voided',
  'expired',
  'partially_captured',
  'captured',
  'partially_refunded',
  'refunded',
]);

const providerRefIn = textIn(255).meta({ description: 'The provider’s own id of the payment.' });

export const openPayment = z
  .strictObject({
    amount: amountIn,
    currency: currencyIn,
    capture: captureSchema.meta({
      description: '`automatic`: captured at once, all of it. `manual`: held until it is captured, voided or expires.',
    }),
    provider: providerIn.optional(),
    provider_ref: providerRefIn.optional().meta({
      description: 'The provider’s own id of the payment: what it tells of that one is told of this payment.',
    }),
    description: textIn(1_000).optional(),
    metadata: metadataIn.optional(),
  })
  .refine((body) => body.provider_ref === undefined || body.provider !== undefined, {
    message: 'is needed where there is a provider_ref',
    path: ['provider'],
  })
  .meta({ id: 'OpenPayment' });

export const capturePayment = z
  .strictObject({
    amount: amountIn.optional().meta({ description: 'Default: all that is held.' }),
    final: z
      .boolean()
      .default(true)
      .meta({ description: 'Give the rest of the hold back; false keeps it held for further captures.' }),
  })
  .optional()
  .meta({ id: 'CapturePayment' });

export const refundPayment = z
  .strictObject({
    amount: amountIn
      .optional()
      .meta({ description: 'Default: all that was captured and is neither refunded nor disputed.' }),
  })
  .optional()
  .meta({ id: 'RefundPayment' });

const objectRef = z.string().nullable().meta({
  description: 'The provider’s id of it, or that of the request that asked for it; null: never told.',
});

const movement = z.looseObject({
  object_ref: objectRef,
  amount: amountOut,
  status: z.enum(['requested', 'succeeded', 'failed', 'reversed']).meta({
    description: '`requested`: nobody but the merchant says so yet; it counts all the same.',
  }),
});

const shown = {
  id: idOut,
  merchant_id: idOut,
  status: statusSchema,
  amount: amountOut,
  currency: currencyOut,
  capture: captureSchema.nullable().meta({ description: 'Null: told by its provider alone.' }),
  provider: z.string().nullable(),
  provider_ref: z.string().nullable(),
  description: z.string().nullable(),
  metadata: metadataOut,
  created_at: timestampOut,
  expires_at: timestampOut.nullable(),
  amount_authorised: amountOut,
  amount_capturable: amountOut.meta({ description: 'What is still held.' }),
  amount_captured: amountOut,
  amount_refunded: amountOut,
  amount_disputed: amountOut.meta({ description: 'Of disputes that are open or lost; an inquiry takes nothing.' }),
  amount_settled: amountOut,
  captures: z.array(movement),
  refunds: z.array(movement),
  disputes: z.array(
    z.looseObject({
      object_ref: objectRef,
      amount: amountOut,
      stage: stageSchema,
      outcome: z.enum(['open', 'won', 'lost']),
      funds_withdrawn: amountOut,
      funds_reinstated: amountOut,
      fee: amountOut,
    }),
  ),
  settlements: z.array(z.looseObject({ object_ref: objectRef, amount: amountOut, fee: amountOut })),
  findings: z
    .array(z.looseObject({ kind: z.string(), detail: z.string() }))
    .meta({ description: 'What its facts say against each other. Reconciliation shows them as breaks.' }),
  transactions: z.array(idOut).meta({ description: 'What it changed on the accounts, oldest first.' }),
};

export const payment = z.looseObject(shown).meta({ id: 'Payment' });

export const changedPayment = z
  .looseObject({
    ...shown,
    balances: touchedBalances.meta({
      description: 'Of the accounts that this request moved money on, as of its transaction; none where nothing moved.',
    }),
  })
  .meta({ id: 'ChangedPayment' });

export const paymentWithTimeline = z
  .looseObject({
    ...shown,
    timeline: z
      .array(
        z.looseObject({
          type: factTypeSchema,
          source: z.enum(['request', 'provider']),
          event_id: z.string(),
          outcome: z.enum(['applied', 'stale', 'parked', 'rejected', 'discarded']),
          reason: z.string().nullable(),
          amount: amountOut.nullable(),
          currency: currencyOut.nullable(),
          object_ref: objectRef,
          occurred_at: timestampOut,
          received_at: timestampOut,
          transaction_id: idOut.nullable(),
        }),
      )
      .meta({ description: 'All that is known of it, in the order in which it was received.' }),
  })
  .meta({ id: 'PaymentWithTimeline' });

export const paymentList = listOf(payment, 'PaymentList');

export const listPaymentsQuery = z.strictObject({
  ...listQuery,
  status: statusSchema.optional(),
  provider: providerIn.optional(),
  provider_ref: providerRefIn.optional(),
  created_from: timestampIn.optional().meta({ description: 'Inclusive.' }),
  created_to: timestampIn.optional().meta({ description: 'Exclusive.' }),
});

export function newPaymentOf(body: z.output<typeof openPayment>): NewPayment {
  const { provider_ref: providerRef, ...same } = body;
  return { ...same, providerRef };
}
