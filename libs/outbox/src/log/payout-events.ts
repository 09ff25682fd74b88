import { z } from 'zod';
import { amount, currency, id, time } from './event-fields.js';
import { EventSchema } from './event-schema.js';

/** The events of payouts: all of one shape. Each is what the bank has answered, with the payout as it then is. */

const answered = z.strictObject({
  payout: z.strictObject({
    id,
    merchant_id: id,
    amount: amount.describe('What is paid, in minor units.'),
    currency,
    fee: amount.describe('What is charged for it with the next settlement, in minor units.'),
    destination: z.string(),
    status: z.enum(['paid', 'failed', 'returned']),
    bank_reference: z.string().nullable().describe('The bank’s own; null: it never took it.'),
    failure_code: z.string().nullable().describe('Why it failed or came back, in the bank’s word.'),
    created_at: time,
  }),
  transaction_id: id.nullable().describe('Of what it changed on the accounts.'),
});

function event(tells: string) {
  return EventSchema.first(tells, answered);
}

export const PAYOUT_EVENTS = {
  'payout.paid': event('The bank has paid a payout. That is not the end: it may come back.'),
  'payout.failed': event('The bank has not paid a payout: its money is the merchant’s again.'),
  'payout.returned': event('A payout that was paid came back: its money is the merchant’s again.'),
} as const;
