import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Settlement, SettlementLine } from '#settlement/reading/settlement-store.js';
import { amountOut, currencyIn, currencyOut, DAY, dayIn, idOut, listOf, listQuery, timestampOut } from '../schemas.js';

const dayOut = z.string().regex(DAY);

export const settlement = z
  .looseObject({
    id: idOut,
    merchant_id: idOut,
    business_date: dayOut,
    currency: currencyOut,
    period: z.looseObject({ from: timestampOut, to: timestampOut }).meta({
      description: 'The business day: `to` is the first moment of the next one.',
    }),
    status: z.literal('posted'),
    gross: amountOut.meta({ description: 'Captures.' }),
    refunds: amountOut.meta({ description: 'Positive when they take.' }),
    disputes: amountOut.meta({ description: 'Positive when they take.' }),
    other: amountOut.meta({ description: 'What was posted to the account by hand.' }),
    adjustments: amountOut.meta({ description: 'What belongs to days before, and was recorded too late for them.' }),
    fees: amountOut.meta({ description: 'Positive when they take.' }),
    net: amountOut.meta({ description: 'gross − refunds − disputes + other + adjustments − fees' }),
    items: z.int().meta({ description: 'Lines.' }),
    lines: z.string().meta({ description: 'Where they are.' }),
    transaction_id: idOut.nullable().meta({ description: 'That posted the fees; null where there were none.' }),
    created_at: timestampOut.meta({ description: 'When it was begun.' }),
    posted_at: timestampOut,
  })
  .meta({ id: 'Settlement' });

export const settlementList = listOf(settlement, 'SettlementList');

export const settlementLine = z
  .looseObject({
    kind: z.enum(['payment', 'refund', 'dispute', 'other', 'payout']),
    payment_id: idOut.nullable(),
    transaction_id: idOut,
    account_version: z.string(),
    amount: amountOut.meta({
      description: 'What it added to what the merchant is owed; 0 of payouts, which pay out what was settled.',
    }),
    fee: amountOut,
    fee_plan_id: idOut.nullable(),
    fee_plan_version: z.int().nullable(),
    effective_at: timestampOut,
    business_date: dayOut.meta({ description: 'The day that it belongs to; of adjustments one before.' }),
  })
  .meta({ id: 'SettlementLine' });

export const settlementLineList = listOf(settlementLine, 'SettlementLineList');

export const listSettlementsQuery = z.strictObject({
  ...listQuery,
  business_date: dayIn.optional(),
  currency: currencyIn.optional(),
});

export function settlementBody(record: Settlement) {
  const amounts = Object.fromEntries(Object.entries(record.amounts).map(([name, amount]) => [name, String(amount)]));
  return {
    id: String(record.id),
    merchant_id: String(record.merchantId),
    business_date: record.businessDate,
    currency: record.currency,
    period: { from: isoTime(record.startsAtMs), to: isoTime(record.endsAtMs) },
    status: 'posted',
    ...amounts,
    items: Number(record.items),
    lines: `/v1/settlements/${record.id}/lines`,
    transaction_id: idOrNull(record.transactionId),
    created_at: isoTime(snowflakeTimeMs(record.id)),
    posted_at: isoTime(record.postedAtMs),
  };
}

export function settlementLineBody(line: SettlementLine) {
  return {
    kind: line.kind,
    payment_id: idOrNull(line.paymentId),
    transaction_id: String(line.transactionId),
    account_version: String(line.accountVersion),
    amount: String(line.amount),
    fee: String(line.fee),
    fee_plan_id: idOrNull(line.feePlanId),
    fee_plan_version: line.feePlanVersion,
    effective_at: isoTime(line.effectiveAtMs),
    business_date: line.businessDate,
  };
}

function idOrNull(id: bigint | null): string | null {
  return id === null ? null : String(id);
}
