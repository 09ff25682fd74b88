import type { ToldEvent } from '#outbox/log/append.js';
import { paymentBody } from './payment-body.js';
import type { FactRow, PaymentRow } from './payment-rows.js';

/** A fact that was applied, and the payment as it then is. */
export function paymentEvent(row: PaymentRow, fact: FactRow, occurredAtMs: number): ToldEvent {
  const { transactions: _, ...payment } = paymentBody(row);
  const { source, event_id, amount, currency, object_ref, occurred_at, transaction_id } = fact;
  const data = {
    payment,
    fact: { source, event_id, amount, currency, object_ref, reason: fact.more.reason ?? null, occurred_at },
    transaction_id,
  };
  return { type: `payment.${fact.type}`, data, occurredAtMs };
}
