import { z } from 'zod';
import { MAX_ENTRIES, MIN_ENTRIES } from '#ledger/posting/command.js';
import type { BreakRequest } from '#reconciliation/breaks/act-on-break.command.js';
import { PROPOSALS } from '#reconciliation/breaks/break-row.js';
import { BREAK_STATUSES } from '#reconciliation/breaks/break-status.js';
import { MAX_CHOSEN, MAX_REASON, MAX_TEXT } from '#reconciliation/breaks/limits.js';
import { accountCodeIn } from '../accounts/schemas.js';
import {
  amountIn,
  amountOut,
  currencyIn,
  currencyOut,
  idIn,
  idOut,
  listOf,
  listQuery,
  readableIn,
  textIn,
  timestampOut,
} from '../schemas.js';

const MAX_AGE_DAYS = 36_500;

const kindIn = z.string('must be given once').regex(/^[a-z][a-z_]{2,63}$/, 'must be a kind of break');

export const listBreaksQuery = z.strictObject({
  kind: kindIn.optional(),
  status: z.enum(BREAK_STATUSES, `must be one of ${BREAK_STATUSES.join(', ')}`).optional(),
  assignee: textIn(255).optional(),
  older_than_days: z
    .string('must be given once')
    .regex(/^[0-9]{1,5}$/, 'must be a whole number of days')
    .transform(Number)
    .refine((days) => days <= MAX_AGE_DAYS, `must be at most ${MAX_AGE_DAYS}`)
    .optional()
    .meta({ type: 'integer', minimum: 0, maximum: MAX_AGE_DAYS }),
  ...listQuery,
});

export const assign = z.strictObject({ to: readableIn(255) }).meta({ id: 'AssignBreak' });
export const comment = z.strictObject({ text: readableIn(MAX_TEXT) }).meta({ id: 'CommentBreak' });
export const reject = z.strictObject({ reason: readableIn(MAX_REASON) }).meta({ id: 'RejectProposal' });
export const withdraw = z.strictObject({ reason: readableIn(MAX_REASON) }).meta({ id: 'WithdrawProposal' });

const entryIn = z
  .strictObject({
    account_id: idIn.optional(),
    account_code: accountCodeIn.optional(),
    direction: z.enum(['debit', 'credit']),
    amount: amountIn,
    currency: currencyIn,
  })
  .refine((entry) => (entry.account_id === undefined) !== (entry.account_code === undefined), {
    message: 'must name its account by account_id or by account_code',
    path: ['account_id'],
  })
  .meta({ id: 'ProposedEntryIn' });

export const propose = z
  .strictObject({
    action: z.enum(PROPOSALS, `must be one of ${PROPOSALS.join(', ')}`),
    entries: z
      .array(entryIn)
      .min(MIN_ENTRIES, `must have at least ${MIN_ENTRIES} entries`)
      .max(MAX_ENTRIES, `must have at most ${MAX_ENTRIES} entries`)
      .optional()
      .meta({ description: 'What is to be posted; of `post` alone.' }),
    candidates: z.array(textIn(600)).max(MAX_CHOSEN, `must name at most ${MAX_CHOSEN} items`).optional().meta({
      description:
        'Items, of the break’s `candidates` or of other breaks that are open, to be matched with its row; of a break between several payments the `payment_id` of one of these, or an item of it. Of `match` alone. The break’s own item is always among them.',
    }),
    reason: readableIn(MAX_REASON),
  })
  .refine(({ action, entries }) => (action === 'post') === (entries !== undefined), {
    path: ['entries'],
    message: 'are what a `post` has, and nothing else',
  })
  .refine(({ action, candidates }) => action === 'match' || candidates === undefined, {
    path: ['candidates'],
    message: 'are what a `match` has, and nothing else',
  })
  .meta({ id: 'ProposeForBreak' });

export function proposalOf({ action, entries = [], candidates = [], reason }: z.output<typeof propose>): BreakRequest {
  if (action === 'write_off') return { action: 'propose', what: action, reason };
  if (action === 'match') return { action: 'propose', what: action, candidates, reason };
  const named = entries.map(({ account_id: id, account_code: code = '', ...entry }) => ({
    account: id === undefined ? { code } : { id },
    ...entry,
  }));
  return { action: 'propose', what: action, entries: named, reason };
}

const side = z.looseObject({
  amount: amountOut.nullable(),
  fee: amountOut.nullable(),
  currency: currencyOut.nullable(),
  occurred_at: timestampOut.nullable(),
});

const proposal = z.looseObject({
  id: idOut,
  action: z.enum(PROPOSALS),
  entries: z.array(z.looseObject({ account_id: idOut, amount: amountOut })).nullable(),
  candidates: z.array(z.string()).nullable(),
  reason: z.string(),
  by: z.string(),
  at: timestampOut,
});

export const breakShape = z
  .looseObject({
    id: idOut,
    reconciliation_id: idOut,
    kind: z.string(),
    status: z.enum(BREAK_STATUSES),
    reference: z.string().nullable(),
    object_ref: z.string().nullable(),
    expected: side.nullable().meta({ description: 'What the ledger has.' }),
    actual: side.nullable().meta({ description: 'What was reported, and on which `line`.' }),
    difference: amountOut.nullable().meta({ description: 'What was reported less what the ledger has.' }),
    currency: currencyOut.nullable(),
    age_days: z.int().min(0).meta({ description: 'Whole days since it was found, until it ended.' }),
    assignee: z.string().nullable(),
    comments: z.array(z.looseObject({ text: z.string(), by: z.string(), at: timestampOut })),
    candidates: z
      .array(z.looseObject({}))
      .meta({ description: 'What it may be about. `proposed`: a sum that fits, no more.' }),
    proposal: proposal.nullable(),
    resolution: z
      .looseObject({
        by: z.string().nullable(),
        approved_by: z.string().nullable(),
        transaction_id: idOut.nullable(),
        reason: z.string().nullable(),
        followed_by: idOut.nullish().meta({
          description:
            'The break that its row, batch or statement has instead, as something else is true of it by now.',
        }),
      })
      .nullable(),
    created_at: timestampOut,
  })
  .meta({ id: 'Break' });

export const breakList = listOf(breakShape, 'BreakList');
