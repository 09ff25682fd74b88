import { z } from 'zod';
import { isCurrency, MAX_AMOUNT } from '#kernel/money.js';
import { DISPUTE_STAGES, FACT_TYPES, type Fact } from '../facts.js';
import { OWN_FACT_ID } from '../provider-fact.js';
import { isText } from './provider.js';

const MAX_SEQUENCE = 2_147_483_647;
const text = (length: number) => z.string().min(1).max(length).refine(isText);

const amount = z
  .union([z.int().min(0), z.string().regex(/^(0|[1-9][0-9]{0,15})$/)])
  .transform((value) => BigInt(value))
  .refine((value) => value <= MAX_AMOUNT);

/** One event as POST /v1/provider_events takes it. */
const genericEvent = z.strictObject({
  provider: z.string().optional(),
  // Others are ours to give.
  event_id: text(255).refine((id) => !OWN_FACT_ID.test(id)),
  payment_ref: text(255),
  type: z.enum(FACT_TYPES),
  sequence: z.int().min(1).max(MAX_SEQUENCE).optional(),
  amount: amount.optional(),
  amount_kind: z.enum(['delta', 'cumulative']).default('delta'),
  currency: z.string().refine(isCurrency).optional(),
  object_ref: text(255).optional(),
  fee: amount.optional(),
  stage: z.enum(DISPUTE_STAGES).optional(),
  reason: text(255).optional(),
  occurred_at: z.iso.datetime({ offset: true }).transform((time) => Date.parse(time)),
});

export type GenericEvent = { readonly paymentRef: string; readonly provider: string | undefined; readonly fact: Fact };

/** Reads an event in the contract's own form; a text: the first field that is not as it should be. */
export function readGenericEvent(given: unknown): GenericEvent | string {
  const read = genericEvent.safeParse(given);
  if (!read.success) {
    const [issue] = read.error.issues;
    return `${issue?.path.join('.') || 'it'} is not as the contract has it`;
  }
  const event = read.data;
  const fact: Fact = {
    id: event.event_id,
    source: 'provider',
    type: event.type,
    amountKind: event.amount_kind,
    occurredAtMs: event.occurred_at,
    ...(event.amount !== undefined && { amount: event.amount }),
    ...(event.currency !== undefined && { currency: event.currency }),
    ...(event.object_ref !== undefined && { objectRef: event.object_ref }),
    ...(event.sequence !== undefined && { sequence: event.sequence }),
    ...(event.fee !== undefined && { fee: event.fee }),
    ...(event.stage !== undefined && { stage: event.stage }),
    ...(event.reason !== undefined && { reason: event.reason }),
  };
  return { paymentRef: event.payment_ref, provider: event.provider, fact };
}
