import { z } from 'zod';
import { type Told, Untranslatable } from './provider.js';
import {
  objectOf,
  optionalReference,
  optionalSeconds,
  type StripeEvent,
  stripeObject,
  type Telling,
  tellings,
} from './stripe-event.js';

const amount = z.number();
const balanceTransaction = z.looseObject({
  amount: z.number(),
  fee: z.number().default(0),
  currency: z.string(),
  created: optionalSeconds,
});

const refund = stripeObject.extend({
  amount,
  status: z.string().nullish(),
  charge: optionalReference,
  payment_intent: optionalReference,
  balance_transaction: optionalReference,
  failure_reason: z.string().nullish(),
});

const dispute = stripeObject.extend({
  amount,
  status: z.string(),
  reason: z.string().nullish(),
  charge: optionalReference,
  payment_intent: optionalReference,
  balance_transactions: z.array(balanceTransaction).default([]),
});
type Dispute = z.output<typeof dispute>;

function paymentOf({ payment_intent, charge }: { payment_intent?: string | null; charge?: string | null }): string {
  const ref = payment_intent ?? charge;
  if (ref) return ref;
  throw new Untranslatable('it names neither a PaymentIntent nor a charge');
}

/** One refund's own amount. A pending one has left the balance already. */
export function refundFacts(event: StripeEvent): Told[] {
  const object = objectOf(refund, event);
  const of = { paymentRef: paymentOf(object), object };
  const own = { amount: object.amount, objectRef: object.id };
  if (object.status === 'failed' || object.status === 'canceled') {
    const why = object.failure_reason ?? object.status;
    return tellings(event, of, [{ type: 'refund_failed', ...own, reason: why.slice(0, 200) }]);
  }
  // The rest of a hold that a capture or a cancellation gives back is a refund to Stripe, but no captured money.
  if (object.balance_transaction === null) {
    return [
      { what: event.type, ignored: 'it moved nothing of the balance: a hold was released, or it has yet to begin' },
    ];
  }
  return tellings(event, of, [{ type: 'refunded', ...own, atS: object.created }]);
}

/** A snapshot: opened, its outcome, and what was withdrawn and reinstated so far. */
export function disputeFacts(event: StripeEvent): Told[] {
  const object = objectOf(dispute, event);
  const own = { objectRef: object.id, amount: object.amount };
  const outcome = outcomeOf(object.status);
  return tellings(event, { paymentRef: paymentOf(object), object }, [
    { type: 'dispute_opened', ...own, stage: stageOf(object.status), atS: object.created, ...reasonOf(object) },
    ...fundsOf(event, object),
    ...(outcome ? [{ type: outcome, ...own } as const] : []),
  ]);
}

function reasonOf({ reason }: Dispute): { reason?: string } {
  return reason ? { reason: reason.slice(0, 200) } : {};
}

/** An inquiry that is closed, and a dispute that was prevented, have taken nothing. */
function outcomeOf(status: string): 'dispute_won' | 'dispute_lost' | undefined {
  if (status === 'lost') return 'dispute_lost';
  return status === 'won' || status === 'warning_closed' || status === 'prevented' ? 'dispute_won' : undefined;
}

function stageOf(status: string): 'inquiry' | 'chargeback' | 'pre_arbitration' {
  if (status.startsWith('warning_') || status === 'prevented') return 'inquiry';
  return status.startsWith('appeal_') ? 'pre_arbitration' : 'chargeback';
}

/**
 * Balance transactions are in the currency that Stripe settles in. Where that is another one than the payment's, what is withdrawn or
 * reinstated is the disputed amount, and a fee cannot be said in the payment's currency.
 */
function fundsOf(event: StripeEvent, object: Dispute): Telling[] {
  const moved = object.balance_transactions;
  const own = { objectRef: object.id, amountKind: 'cumulative' } as const;
  const withdrawn = moved.filter(({ amount }) => amount < 0);
  const reinstated = moved.filter(({ amount }) => amount > 0);
  const isToldAlone = (name: string) => moved.length === 0 && event.type === `charge.dispute.${name}`;
  const fee = Math.max(0, ...withdrawn.filter((one) => isOf(object, one)).map((one) => one.fee));
  return [
    ...(withdrawn.length > 0 || isToldAlone('funds_withdrawn')
      ? [{ type: 'dispute_funds_withdrawn', ...own, ...sumOf(object, withdrawn) } as const]
      : []),
    ...(reinstated.length > 0 || isToldAlone('funds_reinstated')
      ? [{ type: 'dispute_funds_reinstated', ...own, ...sumOf(object, reinstated) } as const]
      : []),
    ...(fee > 0 ? [{ type: 'dispute_fee', fee, ...own, atS: lastOf(withdrawn) } as const] : []),
  ];
}

type BalanceTransaction = z.output<typeof balanceTransaction>;

function isOf({ currency }: Dispute, moved: BalanceTransaction): boolean {
  return moved.currency.toUpperCase() === currency;
}

function sumOf(object: Dispute, moved: readonly BalanceTransaction[]): Pick<Telling, 'amount' | 'atS'> {
  const isKnown = moved.length > 0 && moved.every((one) => isOf(object, one));
  const amount = isKnown ? moved.reduce((sum, one) => sum + Math.abs(one.amount), 0) : object.amount;
  return { amount, atS: lastOf(moved) };
}

function lastOf(moved: readonly BalanceTransaction[]): number | undefined {
  const times = moved.flatMap(({ created }) => created ?? []);
  return times.length > 0 ? Math.max(...times) : undefined;
}
