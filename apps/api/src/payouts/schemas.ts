import { z } from 'zod';
import type { PayoutSchedule } from '#payouts/payout-schedule.js';
import { STORED_STATUSES } from '#payouts/status.js';
import { touchedBalances } from '../accounts/schemas.js';
import {
  amountIn,
  amountOut,
  currencyIn,
  currencyOut,
  idOut,
  listOf,
  listQuery,
  textIn,
  timestampOut,
} from '../schemas.js';

const statusSchema = z.enum(STORED_STATUSES);

/** Banks print it, and read it aloud: what cannot be seen in it is a mistake, or a trick. */
const PRINTABLE = /^[!-~](?:[ -~]*[!-~])?$/;

const destinationIn = textIn(255)
  .regex(PRINTABLE, 'must be of printable ASCII characters, with no space at either end')
  .meta({
    description: 'Where the money goes, as the bank knows it, such as an IBAN.',
    examples: ['DE89370400440532013000'],
  });

export const requestPayout = z
  .strictObject({
    amount: amountIn.optional().meta({
      description: 'Default: all that is settled and not paid out, of which one payout holds at most 2^53-1.',
    }),
    currency: currencyIn,
    destination: destinationIn.optional().meta({ description: 'Default: that of the payout schedule.' }),
  })
  .meta({ id: 'RequestPayout' });

const shown = {
  id: idOut,
  merchant_id: idOut,
  amount: amountOut,
  currency: currencyOut,
  fee: amountOut.meta({ description: 'What the fee plan asks for it. Charged with the next settlement.' }),
  destination: z.string(),
  status: statusSchema.meta({
    description:
      '`reserved`: nobody else can spend it; `instructed`: the bank has taken it. `paid` is not the end: it may be `returned` days later. What failed or was returned is the merchant’s again.',
  }),
  bank_reference: z.string().nullable(),
  failure_code: z.string().nullable().meta({ description: 'Why it failed or came back, in the bank’s word.' }),
  transactions: z.array(idOut).meta({ description: 'What it changed on the accounts, oldest first.' }),
  timeline: z.array(
    z.looseObject({
      status: z.enum(['requested', ...STORED_STATUSES]),
      at: timestampOut,
      detail: z.string().nullable(),
      transaction_id: idOut.nullable(),
    }),
  ),
  created_at: timestampOut,
};

export const payout = z.looseObject(shown).meta({ id: 'Payout' });

export const requestedPayout = z
  .looseObject({
    ...shown,
    balances: touchedBalances.meta({ description: 'Of the accounts that it moved money on, as of its transaction.' }),
  })
  .meta({ id: 'RequestedPayout' });

export const payoutList = listOf(payout, 'PayoutList');

export const listPayoutsQuery = z.strictObject({
  ...listQuery,
  status: statusSchema.optional(),
  currency: currencyIn.optional(),
});

const scheduleSchema = z.enum(['manual', 'daily']).meta({
  description: '`daily`: after each settlement all that is settled and not paid out. `manual`: when it is asked for.',
});

export const setPayoutSchedule = z
  .discriminatedUnion('schedule', [
    z.strictObject({
      schedule: z.literal('manual'),
      destination: destinationIn
        .nullable()
        .default(null)
        .meta({ description: 'Default of those payouts that name none.' }),
    }),
    z.strictObject({ schedule: z.literal('daily'), destination: destinationIn }),
  ])
  .meta({ id: 'SetPayoutSchedule' });

export const payoutSchedule = z
  .looseObject({
    merchant_id: idOut,
    schedule: scheduleSchema,
    destination: z.string().nullable().meta({ description: 'Null: none was set.' }),
  })
  .meta({ id: 'PayoutSchedule' });

/** By hand, as long as nobody has said otherwise. */
export function scheduleBody(merchantId: bigint, found: PayoutSchedule | undefined) {
  return { merchant_id: String(merchantId), schedule: 'manual', destination: null, ...found };
}

export const receivedCallback = z.looseObject({ received: z.literal(true) }).meta({ id: 'ReceivedCallback' });
