import { z } from 'zod';
import type { Fact, FactType } from '../facts.js';
import { minorUnits, stripeDigits } from './minor-units.js';
import { type Told, Untranslatable } from './provider.js';

const seconds = z.int().min(0).max(253_402_300_799);
/** Stripe gives ids, or whole objects to whoever asked for them. */
const reference = z
  .union([z.string().min(1).max(255), z.looseObject({ id: z.string().min(1).max(255) })])
  .transform((value) => (typeof value === 'string' ? value : value.id));

/** What every object of Stripe's that is about a payment has. */
export const stripeObject = z.looseObject({
  id: z.string().min(1).max(255),
  currency: z.string().transform((code) => code.toUpperCase()),
  created: seconds,
});
export const optionalReference = reference.nullish();
export const optionalSeconds = seconds.nullish();

export const stripeEvent = z.looseObject({
  id: z.string().min(1).max(255),
  type: z.string().min(1).max(255),
  created: seconds,
  data: z.looseObject({ object: z.looseObject({}) }),
});

export type StripeEvent = z.output<typeof stripeEvent>;
export type StripeObject = z.output<typeof stripeObject>;

/** A fact as one of Stripe's objects tells it. */
export interface Telling extends Partial<Pick<Fact, 'amountKind' | 'objectRef' | 'stage' | 'reason'>> {
  readonly type: FactType;
  /** In Stripe's minor units. */
  readonly amount?: number;
  readonly fee?: number;
  /** Of the object that says so, and always the same; undefined: all that is known is when the event was made. */
  readonly atS?: number | null | undefined;
}

/**
 * Facts of one object. Stripe makes several events of one change, each with an id and a time of its own, so a fact's identity is what
 * is told of which object. Where the object does not say when, the event's time belongs to what is told: under one identity there is
 * one content, and a change that is told twice at two times is two facts which come to the same.
 */
export function tellings(
  event: StripeEvent,
  of: { paymentRef: string; object: StripeObject },
  told: readonly Telling[],
): Told[] {
  const { paymentRef, object } = of;
  return told.map(({ type, amount, fee, atS, ...more }) => {
    const at = atS ?? event.created;
    const detail = [amount, fee, more.stage, atS == null ? `at ${at}` : undefined];
    const id = [type, object.id, ...detail.filter((part) => part !== undefined)].join(':');
    const { currency } = object;
    const fact: Fact = {
      id,
      source: 'provider',
      type,
      currency,
      amountKind: 'delta',
      occurredAtMs: at * 1_000,
      ...(amount !== undefined && { amount: minorUnits(amount, currency, stripeDigits) }),
      ...(fee !== undefined && { fee: minorUnits(fee, currency, stripeDigits) }),
      ...more,
    };
    return { what: event.type, paymentRef, fact };
  });
}

/** Reads one of Stripe's objects. Throws Untranslatable that names the first field that is not as it should be. */
export function objectOf<Shape extends z.ZodType>(shape: Shape, event: StripeEvent): z.output<Shape> {
  const read = shape.safeParse(event.data.object);
  if (read.success) return read.data;
  throw new Untranslatable(`data.object.${read.error.issues[0]?.path.join('.')} is not as Stripe documents it`);
}
