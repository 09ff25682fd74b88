import { z } from 'zod';
import { shownRule } from '#fees/fee-plan.entity.js';
import type { FeeRule } from '#fees/fee-plan.js';
import type { FeePlanHistory, FeePlanView } from '#fees/fee-plan.queries.js';
import { isoTime } from '#kernel/clock.js';
import {
  amountOrZeroIn,
  amountOut,
  currencyIn,
  currencyOut,
  idIn,
  idOut,
  listOf,
  listQuery,
  textIn,
  timeOrEver,
  timestampIn,
  timestampOut,
} from '../schemas.js';

const MAX_RULES = 200;
const MAX_BPS = 10_000;
const BPS = `must be a whole number from 0 to ${MAX_BPS}: hundredths of a percent`;

const subject = z.enum(['payment', 'refund', 'dispute', 'payout']);

const feeRuleIn = z
  .strictObject({
    applies_to: subject,
    currency: currencyIn,
    percent_bps: z.int(BPS).min(0, BPS).max(MAX_BPS, BPS).meta({ description: 'Hundredths of a percent.' }),
    fixed: amountOrZeroIn,
    min: amountOrZeroIn.nullish().meta({ description: 'At most max.' }),
    max: amountOrZeroIn.nullish().meta({ description: 'At least fixed.' }),
    tier_from: amountOrZeroIn.optional().meta({
      description:
        'Counts from this gross volume of the calendar month on, in the merchant’s time zone and the currency; of several the highest that was reached before the item. Left out: 0.',
    }),
  })
  .transform(
    (rule): FeeRule => ({
      appliesTo: rule.applies_to,
      currency: rule.currency,
      percentBps: rule.percent_bps,
      fixed: rule.fixed,
      min: rule.min ?? undefined,
      max: rule.max ?? undefined,
      tierFrom: rule.tier_from ?? 0n,
    }),
  )
  .meta({
    id: 'FeeRuleIn',
    description: 'fee = percent_bps of the amount, half to even, + fixed, within min and max.',
  });

const version = {
  valid_from: timestampIn.optional(),
  refund_returns_fee: z
    .boolean()
    .default(false)
    .meta({ description: 'Whether a refund gives back what its payment was charged, in proportion.' }),
  rules: z.array(feeRuleIn).max(MAX_RULES, `must have at most ${MAX_RULES} rules`),
};

export const createFeePlan = z.strictObject({ name: textIn(255), ...version }).meta({ id: 'CreateFeePlan' });

export const addFeePlanVersion = z.strictObject(version).meta({ id: 'AddFeePlanVersion' });

export const assignFeePlan = z
  .strictObject({ fee_plan_id: idIn, valid_from: timestampIn.optional() })
  .meta({ id: 'AssignFeePlan' });

const feeRule = z
  .looseObject({
    applies_to: subject,
    currency: currencyOut,
    percent_bps: z.int(),
    fixed: amountOut,
    min: amountOut.nullable(),
    max: amountOut.nullable(),
    tier_from: amountOut,
  })
  .meta({ id: 'FeeRule' });

const feePlanVersion = z
  .looseObject({
    version: z.int(),
    valid_from: timestampOut.nullable().meta({ description: 'Until the next version’s; null: since ever.' }),
    refund_returns_fee: z.boolean(),
    rules: z.array(feeRule),
    created_at: timestampOut,
  })
  .meta({ id: 'FeePlanVersion' });

export const feePlan = feePlanVersion
  .extend({
    id: idOut,
    name: z.string(),
    version: z.int().meta({ description: 'The newest one; it may count from later on.' }),
    created_at: timestampOut,
  })
  .meta({ id: 'FeePlan' });

export const feePlanWithVersions = feePlan
  .extend({ versions: z.array(feePlanVersion).meta({ description: 'Oldest first.' }) })
  .meta({ id: 'FeePlanWithVersions' });

export const feePlanList = listOf(feePlan, 'FeePlanList');

export const pageQuery = z.strictObject(listQuery);

export function newVersion(body: z.output<typeof addFeePlanVersion>) {
  const { valid_from: validFromMs, refund_returns_fee: refundReturnsFee, rules } = body;
  return { validFromMs, refundReturnsFee, rules };
}

function versionBody({ version, validFromMs, refundReturnsFee, rules, createdAtMs }: FeePlanView['version']) {
  return {
    version,
    valid_from: timeOrEver(validFromMs),
    refund_returns_fee: refundReturnsFee,
    rules: rules.map(shownRule),
    created_at: isoTime(createdAtMs),
  };
}

export function feePlanBody({ plan: { id, name, createdAtMs }, version }: FeePlanView) {
  return { id: String(id), name, ...versionBody(version), created_at: isoTime(createdAtMs) };
}

export function feePlanWithVersionsBody({ plan, versions }: FeePlanHistory) {
  const version = versions.at(-1) as FeePlanView['version'];
  return { ...feePlanBody({ plan, version }), versions: versions.map(versionBody) };
}
