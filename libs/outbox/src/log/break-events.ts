import { z } from 'zod';
import { currency, id, signedAmount } from './event-fields.js';
import { EventSchema } from './event-schema.js';

/** The events of breaks: what a reconciliation found that is no match, and how it ended. */

const found = z.strictObject({
  break_id: id,
  reconciliation_id: id.describe('The report that it was found with.'),
  kind: z.string().describe('Such as `missing_in_ledger`.'),
  reference: z.string().nullable().describe('The payment, payout or batch, in the word of whoever reported it.'),
  object_ref: z.string().nullable().describe('The capture, refund or dispute.'),
  difference: signedAmount.nullable().describe('What was reported less what the ledger has, in minor units.'),
  currency: currency.nullable(),
});

const resolved = found.extend({
  status: z
    .enum(['resolved', 'auto_resolved', 'written_off'])
    .describe(
      '`resolved`: by an entry or a match; `auto_resolved`: the other side turned up; `written_off`: a decision.',
    ),
  by: z.string().nullable().describe('The operator who proposed it; null: nobody had to.'),
  approved_by: z.string().nullable().describe('The operator who approved it: another one.'),
  transaction_id: id.nullable().describe('Of what was posted.'),
  reason: z.string().nullable(),
});

export const BREAK_EVENTS = {
  'break.opened': EventSchema.first('A report and the ledger differ: somebody has to look at it.', found),
  'break.resolved': EventSchema.first('A break came to its end.', resolved),
} as const;
