import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import type { Currentness, DailySummary } from '#summaries/summary-store.js';
import {
  amountOut,
  currencyIn,
  currencyOut,
  DAY,
  dayIn,
  idIn,
  idOut,
  listOf,
  listQuery,
  timestampOut,
} from '../schemas.js';
import { typeIn } from '../transactions/schemas.js';

const side = z.looseObject({
  count: z
    .string()
    .regex(/^[0-9]+$/)
    .meta({ description: 'Entries.' }),
  amount: amountOut,
});

export const dailySummary = z
  .looseObject({
    day: z.string().regex(DAY).meta({
      description: 'Of the entries’ `effective_at`, in the time zone that the merchant was in then.',
    }),
    account_id: idOut,
    type: z.string(),
    currency: currencyOut,
    debits: side,
    credits: side,
  })
  .meta({ id: 'DailySummary', description: 'What was posted to an account on a day, by type. Holds are not in it.' });

export const dailySummaryList = listOf(dailySummary, 'DailySummaryList').extend({
  as_of: timestampOut.meta({ description: 'Whatever was acknowledged before this moment is in the summaries.' }),
  waiting_events: z.int().meta({ description: 'Events that are not in them yet; 1000 stands for that and more.' }),
  dead_letters: z
    .int()
    .meta({ description: 'Events that could not be applied, and are missing until an operator decides.' }),
});

export const dailySummariesQuery = z.strictObject({
  ...listQuery,
  day_from: dayIn.optional().meta({ description: 'First day, included.' }),
  day_to: dayIn.optional().meta({ description: 'Last day, included.' }),
  account_id: idIn.optional(),
  type: typeIn.optional(),
  currency: currencyIn.optional(),
});

export function dailySummaryBody({ day, accountId, type, currency, debits, credits }: DailySummary) {
  const sideBody = (of: DailySummary['debits']) => ({ count: String(of.count), amount: String(of.amount) });
  return { day, account_id: String(accountId), type, currency, debits: sideBody(debits), credits: sideBody(credits) };
}

export function currentnessBody(page: Currentness) {
  return { as_of: isoTime(page.asOfMs), waiting_events: page.waitingEvents, dead_letters: page.deadLetters };
}
