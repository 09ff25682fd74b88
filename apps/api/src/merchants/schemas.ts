import { z } from 'zod';
import type { PlanFrom } from '#fees/spans.js';
import { isoTime } from '#kernel/clock.js';
import type { CreatedMerchant } from '#tenancy/create-merchant.command.js';
import type { ApiKey } from '#tenancy/merchant.entity.js';
import type { MerchantView } from '#tenancy/merchant.queries.js';
import { account, newAccountBody } from '../accounts/schemas.js';
import {
  currencyIn,
  currencyOut,
  dayIn,
  idIn,
  idOut,
  listOf,
  listQuery,
  textIn,
  timeOrEver,
  timestampOut,
} from '../schemas.js';

const MAX_CURRENCIES = 20;

const timeZoneIn = z
  .string('must be an IANA time zone')
  .max(64)
  .meta({
    id: 'TimeZoneIn',
    description: 'IANA name that ICU and PostgreSQL know, with the same changes of the clock.',
    examples: ['Europe/Berlin'],
  });

export const createMerchant = z
  .strictObject({
    name: textIn(255),
    time_zone: timeZoneIn,
    settlement_cutoff: z
      .string('must be a time of day, HH:MM')
      .regex(/^(?:[01][0-9]|2[0-3]):[0-5][0-9]$/, 'must be a time of day, HH:MM')
      .meta({ description: 'End of the business day, in the merchant’s time zone.', examples: ['23:00'] }),
    currencies: z
      .array(currencyIn)
      .min(1, 'must name at least one currency')
      .max(MAX_CURRENCIES, `must name at most ${MAX_CURRENCIES} currencies`)
      .refine((codes) => new Set(codes).size === codes.length, 'must name each currency once'),
    fee_plan_id: idIn.optional().meta({ description: 'What it is charged by, since ever; left out: nothing.' }),
  })
  .meta({ id: 'CreateMerchant' });

export const updateMerchant = z
  .strictObject({
    name: textIn(255).optional(),
    time_zone: timeZoneIn.optional(),
    time_zone_from: dayIn.optional().meta({
      description:
        'First day in `time_zone`; it must not have begun. Left out: the merchant’s next day. Changes that were planned from then on are superseded.',
    }),
  })
  .refine((changes) => Object.values(changes).some((value) => value !== undefined), 'must change something')
  .refine(({ time_zone, time_zone_from }) => time_zone_from === undefined || time_zone !== undefined, {
    path: ['time_zone_from'],
    message: 'comes with a time_zone',
  })
  .meta({ id: 'UpdateMerchant' });

const zoneFrom = z.looseObject({
  time_zone: z.string(),
  from: z.string().nullable().meta({ description: 'First day in this zone; null: from the beginning.' }),
});

const planFrom = z.looseObject({
  fee_plan_id: idOut,
  valid_from: timestampOut.nullable().meta({ description: 'Null: since ever.' }),
});

export const merchant = z
  .looseObject({
    id: idOut,
    name: z.string(),
    time_zone: z.string().meta({ description: 'The one that it is in now.' }),
    time_zones: z.array(zoneFrom).meta({ description: 'All that it was in or is to be in, oldest first.' }),
    settlement_cutoff: z.string().regex(/^[0-9]{2}:[0-9]{2}$/),
    currencies: z.array(currencyOut),
    fee_plan_id: idOut.nullable().meta({ description: 'The plan that it is on now; null: none, and no fees.' }),
    fee_plans: z.array(planFrom).meta({ description: 'All that it was on or is to be on, oldest first.' }),
    created_at: timestampOut,
  })
  .meta({ id: 'Merchant' });

const newKey = z.looseObject({
  id: idOut,
  secret: z
    .string()
    .regex(/^cfm_[0-9A-Za-z]{60}$/)
    .nullable()
    .meta({ description: 'Shown this once: null in a replay.' }),
});

export const createdMerchant = merchant
  .extend({
    accounts: z.array(account).meta({ description: 'The system accounts, eight per currency.' }),
    api_key: newKey,
  })
  .meta({ id: 'CreatedMerchant' });

export const merchantList = listOf(merchant, 'MerchantList');

export const apiKey = z
  .looseObject({
    id: idOut,
    merchant_id: idOut,
    hint: z.string().meta({ description: 'Prefix and last digits.', examples: ['cfm_…4kQz'] }),
    created_at: timestampOut,
    revoked_at: timestampOut.nullable(),
  })
  .meta({ id: 'ApiKey' });

export const issuedApiKey = apiKey.extend({ secret: newKey.shape.secret }).meta({ id: 'IssuedApiKey' });

export const apiKeyList = listOf(apiKey, 'ApiKeyList');

export const pageQuery = z.strictObject(listQuery);

export function merchantBody({ merchant: record, timeZone, timeZones, feePlanId, feePlans }: MerchantView) {
  return {
    id: String(record.id),
    name: record.name,
    time_zone: timeZone,
    time_zones: timeZones.map(({ timeZone: time_zone, from }) => ({ time_zone, from })),
    settlement_cutoff: record.settlementCutoff.slice(0, 5),
    currencies: record.currencies,
    ...plansBody(feePlanId, feePlans),
    created_at: isoTime(record.createdAtMs),
  };
}

function plansBody(now: bigint | undefined, plans: readonly PlanFrom[]) {
  const fee_plans = plans.map(({ planId, validFromMs }) => ({
    fee_plan_id: String(planId),
    valid_from: timeOrEver(validFromMs),
  }));
  return { fee_plan_id: now === undefined ? null : String(now), fee_plans };
}

export function createdMerchantBody(created: CreatedMerchant) {
  const planId = created.feePlanId;
  return {
    id: String(created.id),
    name: created.name,
    time_zone: created.timeZone,
    time_zones: [{ time_zone: created.timeZone, from: null }],
    settlement_cutoff: created.settlementCutoff,
    currencies: created.currencies,
    ...plansBody(planId, planId === undefined ? [] : [{ planId, validFromMs: -Infinity }]),
    created_at: isoTime(created.createdAtMs),
    accounts: created.accounts.map((opened) => newAccountBody(created.id, opened)),
    api_key: { id: String(created.apiKey.id), secret: created.apiKey.secret },
  };
}

/** What a replay shows: the secret was told once. */
export function keptMerchantBody(created: CreatedMerchant) {
  const body = createdMerchantBody(created);
  return { ...body, api_key: { ...body.api_key, secret: null } };
}

export function apiKeyBody(record: ApiKey) {
  return {
    id: String(record.id),
    merchant_id: String(record.merchantId),
    hint: record.hint,
    created_at: isoTime(record.createdAtMs),
    revoked_at: record.revokedAtMs === null ? null : isoTime(record.revokedAtMs),
  };
}
