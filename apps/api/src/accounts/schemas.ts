import { z } from 'zod';
import type { BalanceView } from '#balances/get-balance.query.js';
import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { availableAmount, pendingAmount, postedAmount, type Side, totalsBody } from '#ledger/accounts/account.js';
import type { AccountRecord, NewAccount } from '#ledger/accounts/account-store.js';
import type { StatementLine } from '#ledger/reading/statement-store.js';
import {
  amountOut,
  currencyIn,
  currencyOut,
  floorIn,
  idOut,
  listOf,
  listQuery,
  metadataIn,
  metadataOut,
  textIn,
  timestampIn,
  timestampOut,
  versionIn,
} from '../schemas.js';

/** Lower case, with upper-case currency suffixes: `wallet:alice`, `merchant_payable:EUR`. */
const ACCOUNT_CODE = /^[a-z0-9][a-z0-9_.:-]{0,127}(?::[A-Z]{3})?$/;

export const sideSchema = z.enum(['debit', 'credit']);

export const accountCodeIn = z
  .string('must be an account code')
  .regex(
    ACCOUNT_CODE,
    'must be lower-case letters, digits and _ . : -, at most 128, with an optional currency suffix such as :EUR',
  )
  .meta({
    id: 'AccountCode',
    description: 'Unique per merchant. `<name>:…` with the name of a system account is reserved.',
    examples: ['wallet:alice'],
  });

export const createAccount = z
  .strictObject({
    code: accountCodeIn,
    name: textIn(255),
    currency: currencyIn,
    normal_side: sideSchema,
    min_available: floorIn.nullable().optional(),
    metadata: metadataIn.optional(),
  })
  .meta({ id: 'CreateAccount' });

export const account = z
  .looseObject({
    id: idOut,
    merchant_id: idOut,
    code: z.string(),
    name: z.string(),
    currency: currencyOut,
    normal_side: sideSchema,
    min_available: amountOut.nullable(),
    status: z.enum(['open', 'closed']),
    metadata: metadataOut,
    created_at: timestampOut,
  })
  .meta({ id: 'Account' });

export const accountList = listOf(account, 'AccountList');

export const listAccountsQuery = z.strictObject({
  ...listQuery,
  code_prefix: z.string().min(1).max(132).optional(),
  currency: currencyIn.optional(),
});

const sums = z.looseObject({ debits: amountOut, credits: amountOut, amount: amountOut });

/** Of the accounts that a request moved money on, as of its transaction. */
export const touchedBalances = z.array(
  z.looseObject({ account_id: idOut, version: z.string(), posted: sums, pending: sums, available: amountOut }),
);

export const balance = z
  .looseObject({
    account_id: idOut,
    currency: currencyOut,
    posted: sums,
    pending: sums,
    available: amountOut,
    version: z.string().regex(/^[0-9]+$/),
    as_of: timestampOut,
    source: z.enum(['cache', 'database', 'process']),
  })
  .meta({ id: 'Balance' });

export const balanceQuery = z.strictObject({
  consistency: z.enum(['cached', 'strong', 'bounded']).default('cached'),
  min_version: versionIn.optional(),
  at: timestampIn
    .optional()
    .meta({ description: 'The balance of everything effective up to then, back-dated entries included.' }),
});

export const statementQuery = z.strictObject({
  ...listQuery,
  effective_from: timestampIn.optional().meta({ description: 'Inclusive.' }),
  effective_to: timestampIn.optional().meta({ description: 'Exclusive.' }),
});

export const statementLine = z
  .looseObject({
    transaction_id: idOut,
    direction: sideSchema,
    amount: amountOut,
    effect: z.enum(['post', 'hold', 'capture', 'release']).meta({
      description: 'What the line does: post, hold (pending), capture (post what was held), release (void or expiry).',
    }),
    account_version: z.string(),
    posted_after: amountOut,
    pending_after: amountOut,
    available_after: amountOut,
    created_at: timestampOut,
    effective_at: timestampOut,
    type: z.string(),
  })
  .meta({ id: 'StatementLine' });

export const statement = listOf(statementLine, 'Statement');

export function accountBody(merchantId: bigint, record: AccountRecord) {
  return {
    id: String(record.id),
    merchant_id: String(merchantId),
    code: record.code,
    name: record.name,
    currency: record.currency,
    normal_side: record.normalSide,
    min_available: record.minAvailable === null ? null : String(record.minAvailable),
    status: record.closed ? ('closed' as const) : ('open' as const),
    metadata: JSON.parse(record.metadata) as Record<string, string | number | boolean>,
    created_at: isoTime(record.createdAtMs),
  };
}

export function newAccountBody(merchantId: bigint, opened: NewAccount) {
  return accountBody(merchantId, {
    ...opened,
    metadata: opened.metadata ?? '{}',
    closed: false,
    createdAtMs: snowflakeTimeMs(opened.id),
  });
}

/** The three figures that every shape of a balance shares. */
export function balanceBody(record: BalanceView) {
  return {
    account_id: String(record.accountId),
    currency: record.currency,
    ...totalsBody(record.normalSide, record),
    version: String(record.version),
    as_of: isoTime(record.asOfMs),
    source: record.source,
  };
}

export function statementLineBody(side: Side, line: StatementLine) {
  const amount = line.posted > 0n ? line.posted : line.pending < 0n ? -line.pending : line.pending;
  return {
    transaction_id: String(line.transactionId),
    direction: line.direction,
    amount: String(amount),
    effect: effectOf(line),
    account_version: String(line.accountVersion),
    posted_after: String(postedAmount(side, line.totals)),
    pending_after: String(pendingAmount(side, line.totals)),
    available_after: String(availableAmount(side, line.totals)),
    created_at: isoTime(snowflakeTimeMs(line.transactionId)),
    effective_at: isoTime(line.effectiveAtMs),
    type: line.type,
  };
}

function effectOf({ posted, pending }: { posted: bigint; pending: bigint }): 'post' | 'hold' | 'capture' | 'release' {
  if (posted === 0n) return pending > 0n ? 'hold' : 'release';
  return pending < 0n ? 'capture' : 'post';
}
