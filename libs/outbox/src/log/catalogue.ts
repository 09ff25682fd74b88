import { z } from 'zod';
import { type LoggedEvent, Unprocessable } from '../consumers/consumer.js';
import { BREAK_EVENTS } from './break-events.js';
import { amount, currency, id, side, signedAmount, time } from './event-fields.js';
import { EventSchema } from './event-schema.js';
import { PAYMENT_EVENTS } from './payment-events.js';
import { PAYOUT_EVENTS } from './payout-events.js';
import { RECONCILIATION_EVENTS } from './reconciliation-events.js';
import { SETTLEMENT_EVENTS } from './settlement-events.js';

/**
 * Every type of event with all of its versions. To change what a type's `data` looks like, add a version with `.next`, write it
 * from then on, and run `npm run docs:events`; each version keeps a golden file in test/golden/events. A shape that has been
 * written is never edited: a test compares it with the one committed beside its golden file.
 */

const accountCreated = z.strictObject({
  account_id: id,
  code: z.string().describe('Unique per merchant.'),
  name: z.string(),
  currency,
  normal_side: side.describe('The side that makes its balance grow.'),
  min_available: signedAmount.nullable().describe('Floor of what is available, in minor units; null: none.'),
});

const accountChanged = z.strictObject({ account_id: id });

const entry = z.strictObject({
  account_id: id,
  account_version: amount.describe('Rises by one with each entry of the account: its logical clock.'),
  direction: side,
  currency,
  posted: amount.describe('Added to the posted total of the side of `direction`, in minor units.'),
  pending: signedAmount.describe('Added to the pending total of that side; negative where a hold is released.'),
});

const moved = id.describe('The transaction that this one moves.');

function transaction<
  Kinds extends readonly [string, ...string[]],
  Parent extends z.ZodType<string | null, string | null>,
>(kinds: Kinds, parent: Parent) {
  return z.strictObject({
    transaction_id: id,
    kind: z.enum(kinds),
    type: z.string().describe("The client's own word for what happened."),
    amount: amount.describe('Sum of the debits in `currency`, in minor units.'),
    currency: currency.describe('ISO 4217, of the first entry.'),
    parent_id: parent,
    external_ref: z.string().nullable(),
    effective_at: time.describe('When it happened in the world; `occurred_at` is when the ledger recorded it.'),
    entries: z.array(entry).min(2),
  });
}

const held = transaction(['pending'], z.null());
const heldUntil = held.extend({
  expires_at: time
    .nullable()
    .describe('When what is still held is released; null: never, or written in version 1, which did not tell.'),
});
const money = transaction(
  ['posted', 'capture', 'reversal'],
  moved.nullable().describe('The hold captured or the transaction reversed; null for a posting of its own.'),
);
const voided = transaction(['void'], moved);
const expired = transaction(['expiry'], moved);

const metadata = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));
const own = {
  metadata: metadata
    .nullable()
    .describe("The client's own names and values; null: written in an earlier version, which did not tell."),
};
const ownAndFloor = {
  ...own,
  ignored_floor: z.boolean().describe('Whether an operator posted it without regard to floors.'),
};
const WHY_OWN = 'a reader could not tell what else the client had said of it';
const WHY_FLOOR = `${WHY_OWN}, nor that an operator had posted it below a floor`;

const adjusted = transaction(['adjustment'], z.null()).extend({
  amount: amount.describe(
    'Sum of the debits posted in `currency`; where nothing was posted, of what they held and released, without sign. In minor units.',
  ),
  currency: currency.describe('ISO 4217, of the first entry that `amount` counts.'),
  metadata: metadata.describe("The payment's own names and values."),
});

const webhookEndpoint = z.strictObject({ endpoint_id: id });

const host = z.string().describe('Of its URL: the rest may hold what only its own receiver is to know.');

const webhookEndpointCreated = webhookEndpoint.extend({
  host,
  event_types: z.array(z.string()).nullable().describe('Of the events that it is sent; null: all.'),
  ordering: z.enum(['none', 'strict']),
});

const webhookEndpointDisabled = z.strictObject({
  endpoint_id: id,
  url: z.string(),
  reason: z.enum(['failing', 'gone']).describe('`failing`: no success for too long; `gone`: it answered 410.'),
  failing_since: time.describe('First failure since the last success.'),
});

const providerSecretChanged = z.strictObject({
  provider: z.string(),
  change: z.enum(['set', 'deleted']).describe('`set`: another one signs from now on; `deleted`: none does.'),
});

export const CATALOGUE = {
  'account.created': EventSchema.first('An account was opened; its balance is zero.', accountCreated),
  'account.closed': EventSchema.first('An empty account was closed: nothing posts to it any more.', accountChanged),
  'account.reopened': EventSchema.first(
    'A closed account was opened again: it takes entries as before.',
    accountChanged,
  ),
  'transaction.posted': EventSchema.first(
    'Money moved: a posting, a capture of (part of) a hold, or a reversal.',
    money,
  ).next(money.extend(ownAndFloor), {
    why: WHY_FLOOR,
    upcast: (before) => ({ ...before, metadata: null, ignored_floor: false }),
  }),
  'transaction.pending': EventSchema.first('Money is held until it is captured, voided or expires.', held)
    .next(heldUntil, {
      why: 'a reader could not tell until when money is held',
      upcast: (before) => ({ ...before, expires_at: null }),
    })
    .next(heldUntil.extend(ownAndFloor), {
      why: WHY_FLOOR,
      upcast: (before) => ({ ...before, metadata: null, ignored_floor: false }),
    }),
  'transaction.voided': EventSchema.first('What remained of a hold was released.', voided).next(voided.extend(own), {
    why: WHY_OWN,
    upcast: (before) => ({ ...before, metadata: null }),
  }),
  'transaction.expired': EventSchema.first(
    'What remained of a hold was released, because its time was up.',
    expired,
  ).next(expired.extend(own), { why: WHY_OWN, upcast: (before) => ({ ...before, metadata: null }) }),
  'transaction.adjusted': EventSchema.first(
    'Something became known of a payment: its entries post, hold and release what its position moved by.',
    adjusted,
  ),
  ...PAYMENT_EVENTS,
  ...PAYOUT_EVENTS,
  ...SETTLEMENT_EVENTS,
  ...RECONCILIATION_EVENTS,
  ...BREAK_EVENTS,
  'webhook_endpoint.created': EventSchema.first(
    'A URL was registered for webhooks. The endpoint itself is told what happens from then on.',
    webhookEndpointCreated,
  ),
  'webhook_endpoint.secret_rotated': EventSchema.first(
    'A new secret signs for a webhook endpoint, and earlier ones do beside it until their ends.',
    webhookEndpoint,
  ),
  'webhook_endpoint.enabled': EventSchema.first(
    'A webhook endpoint that was disabled is sent events again.',
    webhookEndpoint,
  ),
  'webhook_endpoint.deleted': EventSchema.first(
    'Nothing more is sent to a webhook endpoint, and its secrets are forgotten.',
    webhookEndpoint,
  ),
  'webhook_endpoint.disabled': EventSchema.first(
    'Nothing more is sent to a webhook endpoint until it is enabled.',
    webhookEndpointDisabled,
  ).next(webhookEndpointDisabled.omit({ url: true }).extend({ host }), {
    why: 'receivers of one endpoint learnt the whole URL of another, and with it what may be its secret',
    upcast: ({ url, ...before }) => ({ ...before, host: new URL(url).host }),
  }),
  'provider.secret_changed': EventSchema.first(
    'What a payment provider signs its webhooks with was set, or forgotten.',
    providerSecretChanged,
  ),
} as const;

export type EventType = keyof typeof CATALOGUE;

export type EventData<Type extends EventType> = (typeof CATALOGUE)[Type] extends EventSchema<infer Data> ? Data : never;

/** An event of the log as today's code knows it, whatever version it was written in. */
export type CatalogueEvent = {
  [Type in EventType]: Omit<LoggedEvent, 'type' | 'data'> & {
    readonly type: Type;
    readonly data: EventData<Type>;
  };
}[EventType];

export type EventOf<Type extends EventType> = Extract<CatalogueEvent, { readonly type: Type }>;

/** The version in which events of the type are written. */
export function currentVersion(type: EventType): number {
  return CATALOGUE[type].version;
}

/** Whether its data is as this build writes it, so that there is nothing to read in it. */
export function isCurrent({ type, version }: LoggedEvent): boolean {
  return Object.hasOwn(CATALOGUE, type) && CATALOGUE[type as EventType].version === version;
}

/** A type that this build does not know, or a version of it from a newer build. To try again is of no use. */
export class UnknownEvent extends Unprocessable {
  override name = 'UnknownEvent';

  constructor(type: string, version: number) {
    super(`this build does not know version ${version} of ${JSON.stringify(type)}`);
  }
}

/** Throws UnknownEvent. */
export function readEvent(logged: LoggedEvent): CatalogueEvent {
  const { type, version } = logged;
  const schema = Object.hasOwn(CATALOGUE, type) ? CATALOGUE[type as EventType] : undefined;
  if (!schema || version > schema.version) throw new UnknownEvent(type, version);
  const data = schema.upcast(JSON.parse(logged.data), version);
  return { ...logged, version: schema.version, data } as CatalogueEvent;
}
