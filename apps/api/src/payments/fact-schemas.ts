import { z } from 'zod';
import { invalid, type ProblemDocument, ProblemError, problemDocument } from '#kernel/problem.js';
import { DISPUTE_STAGES, FACT_TYPES, type Fact } from '#payments/facts.js';
import { OWN_FACT_ID, OWN_PROVIDER, type ProviderFact, type ToldOutcome } from '#payments/provider-fact.js';
import { validated } from '../schema.pipe.js';
import { amountOrZeroIn, currencyIn, idOut, problem, textIn, timestampIn } from '../schemas.js';

/** Nothing that is told here happened before. */
const OLDEST_MS = Date.UTC(2000, 0, 1);
const MAX_EVENTS = 1_000;
/** Enough to mend an item; a batch of 1,000 bad ones does not get a megabyte of answers. */
const MAX_ITEM_ERRORS = 5;

export const factTypeSchema = z.enum(FACT_TYPES);
export const stageSchema = z.enum(DISPUTE_STAGES);

export const providerIn = z
  .string('must be a string')
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'must be 1 to 64 lower-case letters, digits and _ -')
  .refine((provider) => provider !== OWN_PROVIDER, `must not be ${OWN_PROVIDER}`)
  .meta({ id: 'ProviderIn', examples: ['acme'] });

export const providerEvent = z
  .strictObject({
    provider: providerIn,
    event_id: textIn(255)
      .refine((id) => !OWN_FACT_ID.test(id), 'must not begin with request: or contradiction:')
      .meta({ description: 'The provider’s own: told again, it is answered `duplicate`.' }),
    payment_ref: textIn(255).meta({ description: 'The payment’s `provider_ref`.' }),
    sequence: z
      .int('must be a whole number, 1 or more')
      .min(1, 'must be a whole number, 1 or more')
      .optional()
      .meta({ description: 'The provider’s own count of the payment’s events.' }),
    type: factTypeSchema,
    amount: amountOrZeroIn.optional().meta({ description: 'Default: all that it can be about.' }),
    currency: currencyIn.optional().meta({ description: 'Default: the payment’s.' }),
    amount_kind: z.enum(['delta', 'cumulative']).default('delta').meta({
      description:
        '`delta`: this object’s own amount; `cumulative`: what it, or without object_ref the payment, comes to so far.',
    }),
    object_ref: textIn(255).optional().meta({
      description:
        'The provider’s id of the capture, refund, dispute or settlement. Default: the only one, or one of its own.',
    }),
    fee: amountOrZeroIn.optional().meta({ description: 'What the processor keeps of it, or charges for it.' }),
    stage: stageSchema.optional().meta({ description: 'Of a dispute. An inquiry moves no money.' }),
    reason: textIn(255).optional(),
    occurred_at: timestampIn,
  })
  .meta({ id: 'ProviderEvent' });

/** Items are validated one by one: one that is malformed is rejected in its place. */
const batchItemIn = z.unknown().meta({ $ref: '#/components/schemas/ProviderEvent' });

export const providerEvents = z
  .strictObject({
    events: z
      .array(batchItemIn)
      .min(1, 'must have at least 1 event')
      .max(MAX_EVENTS, `must have at most ${MAX_EVENTS} events`),
  })
  .meta({ id: 'ProviderEvents' });

const outcomeShape = {
  outcome: z.enum(['applied', 'duplicate', 'stale', 'parked', 'rejected']).meta({
    description:
      '`duplicate`: told before. `stale`: known, it changes nothing. `parked`: applied by itself once its cause is told. `rejected`: can never be placed.',
  }),
  payment_id: idOut.optional().meta({ description: 'Absent while there is no payment.' }),
  reason: z.string().optional().meta({ description: 'Why it was rejected.' }),
};

export const providerEventOutcome = z.looseObject(outcomeShape).meta({ id: 'ProviderEventOutcome' });

export const providerEventResults = z
  .looseObject({
    results: z.array(
      z.looseObject({
        ...outcomeShape,
        problem: problem.optional().meta({ description: 'Of one that is malformed.' }),
      }),
    ),
  })
  .meta({ id: 'ProviderEventResults', description: 'One result an event, in order.' });

/** Body → fact. `latestMs`: when at the latest it may have occurred. Throws `validation_failed` for what the schema cannot see. */
export function providerFactOf(event: z.output<typeof providerEvent>, latestMs: number): ProviderFact {
  const { provider, payment_ref: paymentRef, event_id: eventId, occurred_at: occurredAtMs, ...said } = event;
  if (occurredAtMs < OLDEST_MS || occurredAtMs > latestMs) {
    throw invalid('occurred_at', 'must lie between 2000 and now');
  }
  const { type, amount_kind: amountKind, object_ref: objectRef, ...same } = said;
  const given = Object.fromEntries(
    Object.entries({ ...same, objectRef }).filter(([, value]) => value !== undefined),
  ) as Partial<Fact>;
  const fact: Fact = { id: eventId, source: 'provider', type, amountKind, occurredAtMs, ...given };
  return { provider, paymentRef, eventId, fact };
}

/** What of a batch was not readable, as its result. */
export interface Unreadable {
  readonly problem: ProblemDocument;
}

/** An item of a batch → fact, or what is wrong with it; paths are those of the item. */
export function batchItemOf(
  item: unknown,
  { latestMs, traceId }: { latestMs: number; traceId: string | undefined },
): ProviderFact | Unreadable {
  try {
    return providerFactOf(validated(providerEvent, item, { root: 'event', most: MAX_ITEM_ERRORS }), latestMs);
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const { code, message: detail, errors } = error;
    const trace = traceId === undefined ? {} : { trace_id: traceId };
    return { problem: problemDocument({ code, detail, ...(errors && { errors }), ...trace }) };
  }
}

export function outcomeBody({ outcome, paymentId, reason }: ToldOutcome) {
  return { outcome, ...(paymentId && { payment_id: paymentId }), ...(reason !== undefined && { reason }) };
}

export function unreadableBody({ problem }: Unreadable) {
  return { outcome: 'rejected', reason: problem.detail, problem };
}
