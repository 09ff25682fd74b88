import { z } from 'zod';
import { isoTime, systemClock } from '#kernel/clock.js';
import { invalid, ProblemError, problemDocument } from '#kernel/problem.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { totalsBody } from '#ledger/accounts/account.js';
import {
  EFFECTIVE_AT_MAX_AHEAD_MS,
  type Facts,
  MAX_BATCH,
  MAX_ENTRIES,
  MIN_ENTRIES,
  type PostRequest,
  type Refused,
} from '#ledger/posting/command.js';
import type { Posting, PostingResult } from '#ledger/posting/posting.js';
import { entryAmount, shownAmounts } from '#ledger/posting/transaction.js';
import type { TransactionSummary } from '#ledger/reading/transaction-list.js';
import { ADJUSTMENT_TYPE } from '#reconciliation/breaks/adjustment-type.js';
import { accountCodeIn, sideSchema, touchedBalances } from '../accounts/schemas.js';
import { validated } from '../schema.pipe.js';
import {
  amountIn,
  amountOut,
  currencyIn,
  currencyOut,
  floorIn,
  idIn,
  idOut,
  listOf,
  listQuery,
  metadataIn,
  metadataOut,
  problem,
  textIn,
  timestampIn,
  timestampOut,
  versionIn,
} from '../schemas.js';

/** Enough to mend an item; a batch of 1,000 bad ones does not get a megabyte of answers. */
const MAX_ITEM_ERRORS = 5;

export const typeIn = z
  .string('must be a string')
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$/, 'must be 1 to 64 letters, digits and _ . : -')
  .meta({ id: 'TransactionType', description: "The client's own word for what happened.", examples: ['transfer'] });

const statusSchema = z.enum(['posted', 'pending', 'partially_posted', 'voided', 'expired']);

const entryIn = z
  .strictObject({
    account_id: idIn.optional(),
    account_code: accountCodeIn.optional(),
    direction: sideSchema,
    amount: amountIn,
    currency: currencyIn,
    conditions: z
      .strictObject({
        min_available: floorIn
          .optional()
          .meta({ description: "The account's available balance after the transaction." }),
        version: versionIn.optional().meta({ description: "The account's version before the transaction." }),
      })
      .optional(),
  })
  .refine((entry) => (entry.account_id === undefined) !== (entry.account_code === undefined), {
    message: 'must name its account by account_id or by account_code',
    path: ['account_id'],
  })
  .meta({ id: 'EntryIn' });

/** What a client may say about a transaction beside its money. */
const factsIn = {
  description: textIn(1_000).optional(),
  external_ref: textIn(255).optional(),
  metadata: metadataIn.optional(),
};

/** The same for what changes a parent. */
const moveFactsIn = {
  ...factsIn,
  effective_at: timestampIn.optional().meta({
    description:
      "When it happened, never before the parent's own; default: when it is recorded, or the parent's if that is later.",
  }),
};

const ignoreFloorIn = z
  .boolean()
  .optional()
  .meta({ description: 'For operators who act for the merchant: post it although an account falls below its floor.' });

export const postTransaction = z
  .strictObject({
    type: typeIn,
    ...factsIn,
    effective_at: timestampIn
      .optional()
      .meta({ description: 'When it happened; default: when it is recorded. May lie in the past.' }),
    status: z.enum(['posted', 'pending']).default('posted'),
    expires_at: timestampIn.optional().meta({ description: 'Pending ones only: when what is still held is released.' }),
    entries: z
      .array(entryIn)
      .min(MIN_ENTRIES, `must have at least ${MIN_ENTRIES} entries`)
      .max(MAX_ENTRIES, `must have at most ${MAX_ENTRIES} entries`),
    ignore_floor: ignoreFloorIn,
    dry_run: z.boolean().optional().meta({ description: 'Decide, answer 200 and write nothing.' }),
  })
  .meta({ id: 'PostTransaction' });

/**
 * Items are validated one by one (`batchItemOf`): of an independent batch one that is malformed is a problem in its place.
 */
const batchItemIn = z.unknown().meta({ $ref: '#/components/schemas/PostTransaction' });

export const postBatch = z
  .strictObject({
    mode: z.enum(['atomic', 'independent']),
    transactions: z
      .array(batchItemIn)
      .min(1, 'must have at least 1 transaction')
      .max(MAX_BATCH, `must have at most ${MAX_BATCH} transactions`),
  })
  .meta({ id: 'PostBatch' });

/** What of each account of the parent is meant. */
const partsIn = z
  .array(z.strictObject({ account_id: idIn, amount: amountIn }).meta({ id: 'PartIn' }))
  .min(1, 'must name at least one account')
  .max(MAX_ENTRIES, `must have at most ${MAX_ENTRIES} entries`)
  .optional()
  .meta({
    description:
      'In place of amount, where there are several: parts that balance, each within what is left on its account. Entries of one account on the same side count as one; an account that stands on both sides cannot be named.',
  });

function isNotBoth(body: { amount?: bigint; entries?: unknown }): boolean {
  return body.amount === undefined || body.entries === undefined;
}
const NOT_BOTH = { message: 'cannot be sent together with amount', path: ['entries'] };

export const postPending = z
  .strictObject({
    amount: amountIn.optional().meta({ description: 'Single-amount holds only; default: all that is held.' }),
    entries: partsIn,
    final: z
      .boolean()
      .default(true)
      .meta({ description: 'Release what remains; false keeps it held for further postings.' }),
    ...moveFactsIn,
  })
  .refine(isNotBoth, NOT_BOTH)
  .optional()
  .meta({ id: 'PostPending' });

export const voidPending = z.strictObject(moveFactsIn).optional().meta({ id: 'VoidPending' });

export const reverseTransaction = z
  .strictObject({
    amount: amountIn.optional().meta({ description: 'Default: all that is not reversed yet.' }),
    entries: partsIn,
    ignore_floor: ignoreFloorIn,
    ...moveFactsIn,
  })
  .refine(isNotBoth, NOT_BOTH)
  .optional()
  .meta({ id: 'ReverseTransaction' });

const ADJUSTED = 'Of the transactions of payments, whose entries may do both:';

export const transaction = z
  .looseObject({
    id: idOut.nullable().meta({ description: 'Null in the answer to a dry run, which wrote nothing.' }),
    merchant_id: idOut,
    type: z.string(),
    status: statusSchema,
    description: z.string().nullable(),
    external_ref: z.string().nullable(),
    effective_at: timestampOut,
    created_at: timestampOut,
    expires_at: timestampOut.nullable(),
    parent_id: idOut.nullable(),
    metadata: metadataOut,
    amount_remaining: amountOut.meta({
      description: 'What it still holds: its debits in the currency of the first entry.',
    }),
    amount_reversed: amountOut.meta({
      description: 'What of it has been reversed: its debits in the currency of the first entry.',
    }),
    ignored_floor: z.boolean().meta({ description: 'Whether an operator posted it without regard to floors.' }),
    dry_run: z.literal(true).optional(),
    entries: z.array(
      z.looseObject({
        account_id: idOut,
        account_code: z.string(),
        direction: sideSchema,
        amount: amountOut,
        currency: currencyOut,
        account_version: z.string(),
        posted: amountOut.optional().meta({ description: `${ADJUSTED} what was posted.` }),
        pending: amountOut
          .optional()
          .meta({ description: `${ADJUSTED} what is held from then on; below zero what was released.` }),
      }),
    ),
    balances: touchedBalances,
  })
  .meta({ id: 'Transaction' });

export const summary = z
  .looseObject({
    id: idOut,
    type: z.string(),
    status: statusSchema,
    amount: amountOut,
    currency: currencyOut,
    external_ref: z.string().nullable(),
    effective_at: timestampOut,
    created_at: timestampOut,
    parent_id: idOut.nullable(),
  })
  .meta({
    id: 'TransactionSummary',
    description: 'amount is the sum of the debits in the currency of the first entry.',
  });

export const transactionList = listOf(z.union([transaction, summary]), 'TransactionList');

export const listTransactionsQuery = z.strictObject({
  ...listQuery,
  account_id: idIn.optional(),
  type: typeIn.optional(),
  status: statusSchema.optional(),
  external_ref: textIn(255).optional(),
  parent_id: idIn.optional().meta({ description: 'What captured, released or reversed that transaction.' }),
  created_from: timestampIn.optional().meta({ description: 'Inclusive.' }),
  created_to: timestampIn.optional().meta({ description: 'Exclusive.' }),
  effective_from: timestampIn.optional().meta({ description: 'Inclusive.' }),
  effective_to: timestampIn.optional().meta({ description: 'Exclusive.' }),
  expand: z.enum(['entries']).optional().meta({ description: 'Whole transactions instead of summaries.' }),
});

export const batchResults = z
  .looseObject({
    results: z.array(
      z.union([z.looseObject({ status: z.literal(201), transaction }), z.looseObject({ status: z.int(), problem })]),
    ),
  })
  .meta({ id: 'BatchResults', description: 'One result a transaction, in order.' });

/** Throws `validation_failed` for what the schema cannot see. */
export function factsOf(body: z.output<typeof voidPending>): Facts {
  const effectiveAtMs = body?.effective_at;
  if (
    effectiveAtMs !== undefined &&
    (effectiveAtMs < 0 || effectiveAtMs > systemClock.now() + EFFECTIVE_AT_MAX_AHEAD_MS)
  ) {
    throw invalid('effective_at', 'must lie between 1970 and now');
  }
  return {
    description: body?.description,
    externalRef: body?.external_ref,
    effectiveAtMs,
    metadata: body?.metadata && JSON.stringify(body.metadata),
  };
}

/** How much of the parent is meant; neither: all that is left. */
export function partOf(body: { amount?: bigint; entries?: { account_id: bigint; amount: bigint }[] } | undefined) {
  return {
    amount: body?.amount,
    entries: body?.entries?.map(({ account_id: accountId, amount }) => ({ accountId, amount })),
  };
}

/** Floors bind a merchant whatever it asks. Throws `forbidden`. */
export function ignoreFloorOf(body: { ignore_floor?: boolean } | undefined, byOperator: boolean): boolean {
  if (!body?.ignore_floor) return false;
  if (byOperator) return true;
  const message = 'is for an operator who acts for the merchant';
  throw new ProblemError('forbidden', `ignore_floor: ${message}.`, {
    errors: [{ path: 'ignore_floor', message }],
  });
}

/** Body → command. Throws `validation_failed` for what the schema cannot see, and `forbidden`. */
export function postRequestOf(body: z.output<typeof postTransaction>, byOperator: boolean): PostRequest {
  const facts = factsOf(body);
  const { expires_at: expiresAtMs } = body;
  if (body.type === ADJUSTMENT_TYPE) throw invalid('type', 'is what the approval of a break posts');
  if (expiresAtMs !== undefined && body.status !== 'pending') {
    throw invalid('expires_at', 'is for pending transactions only');
  }
  return {
    pending: body.status === 'pending',
    type: body.type,
    ...facts,
    expiresAtMs,
    ignoreFloor: ignoreFloorOf(body, byOperator),
    entries: body.entries.map((entry) => ({
      account: entry.account_id === undefined ? { code: entry.account_code ?? '' } : { id: entry.account_id },
      direction: entry.direction,
      amount: entry.amount,
      currency: entry.currency,
      conditions: entry.conditions && {
        minAvailable: entry.conditions.min_available,
        version: entry.conditions.version,
      },
    })),
  };
}

/** An item of a batch → command, or what is wrong with it; paths are those of the item. */
export function batchItemOf(item: unknown, byOperator: boolean): PostRequest | Refused {
  try {
    const body = validated(postTransaction, item, { root: 'transaction', most: MAX_ITEM_ERRORS });
    if (body.dry_run !== undefined) throw invalid('dry_run', 'is not for batches');
    return postRequestOf(body, byOperator);
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    return { accepted: false, code: error.code, detail: error.message, errors: error.errors };
  }
}

/** `balances` has one line an account, as of this transaction: the totals after its last entry there. */
export function transactionBody(merchantId: bigint, posting: Posting) {
  const { transaction, state, accounts } = posting;
  const left = shownAmounts(transaction, state);
  const balances = new Map<bigint, object>();
  const entries = transaction.entries.map((entry) => {
    const account = accounts.get(entry.accountId);
    if (!account) throw new Error(`entry on account ${entry.accountId}, which is not there`);
    const version = String(entry.accountVersion);
    balances.set(entry.accountId, {
      account_id: String(entry.accountId),
      version,
      ...totalsBody(account.normalSide, entry),
    });
    return {
      account_id: String(entry.accountId),
      account_code: account.code,
      direction: entry.direction,
      amount: String(entryAmount(transaction.kind, entry)),
      currency: entry.currency,
      account_version: version,
      ...(transaction.kind === 'adjustment' && { posted: String(entry.posted), pending: String(entry.pending) }),
    };
  });
  return {
    id: String(transaction.id),
    merchant_id: String(merchantId),
    type: transaction.type,
    status: state.status,
    description: transaction.description ?? null,
    external_ref: transaction.externalRef ?? null,
    effective_at: isoTime(transaction.effectiveAtMs),
    created_at: isoTime(snowflakeTimeMs(transaction.id)),
    expires_at: transaction.expiresAtMs === undefined ? null : isoTime(transaction.expiresAtMs),
    parent_id: transaction.parentId === undefined ? null : String(transaction.parentId),
    metadata: transaction.metadata === undefined ? {} : (JSON.parse(transaction.metadata) as Record<string, unknown>),
    amount_remaining: String(left.remaining),
    amount_reversed: String(left.reversed),
    ignored_floor: transaction.ignoredFloor,
    entries,
    balances: [...balances.values()],
  };
}

export function summaryBody(summary: TransactionSummary) {
  return {
    id: String(summary.id),
    type: summary.type,
    status: summary.status,
    amount: String(summary.amount),
    currency: summary.currency,
    external_ref: summary.externalRef,
    effective_at: isoTime(summary.effectiveAtMs),
    created_at: isoTime(summary.createdAtMs),
    parent_id: summary.parentId === null ? null : String(summary.parentId),
  };
}

export function batchResultBody(merchantId: bigint, result: PostingResult) {
  if ('posting' in result) return { status: 201, transaction: transactionBody(merchantId, result.posting) };
  const document = problemDocument(result.refusal);
  return { status: document.status, problem: document };
}
