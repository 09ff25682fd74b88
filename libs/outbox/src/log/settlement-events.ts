import { z } from 'zod';
import { amount, currency, id, signedAmount, time } from './event-fields.js';
import { EventSchema } from './event-schema.js';

const signed = signedAmount.describe('Minor units, signed.');

const settlement = z.strictObject({
  settlement_id: id,
  business_date: z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}$/)
    .describe('The business day where the merchant is.'),
  currency,
  period: z.strictObject({ from: time, to: time.describe('The first moment that is the next day’s.') }),
  gross: signed.describe('Captures of the day; below zero where more of earlier ones failed.'),
  refunds: signed.describe('Taken by refunds of the day.'),
  disputes: signed.describe('Taken by disputes of the day.'),
  other: signed.describe('Posted by hand on the day.'),
  adjustments: signed.describe('What happened before the day and was not known until then.'),
  fees: signed.describe('Charged, less what was given back.'),
  net: signed.describe('gross − refunds − disputes + other + adjustments − fees'),
  items: amount.describe('How many entries it took.'),
  transaction_id: id.nullable().describe('What posted the fees; null: there were none.'),
});

export const SETTLEMENT_EVENTS = {
  'settlement.posted': EventSchema.first(
    'A business day of a merchant was settled in a currency: nothing is ever added to it.',
    settlement,
  ),
} as const;
