import { isoTime } from '#kernel/iso-time.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { FactRow, PaymentRow } from './payment-rows.js';

/** A payment as clients are shown it, and as it is kept with an Idempotency-Key. */
export function paymentBody(row: PaymentRow) {
  const { merchant_id, subject: _, parts, transactions, effective_until: __, metadata, ...shown } = row;
  return {
    ...shown,
    merchant_id,
    metadata: metadata ?? {},
    created_at: isoTime(snowflakeTimeMs(BigInt(row.id))),
    ...parts,
    transactions,
  };
}

export type PaymentBody = ReturnType<typeof paymentBody>;

/** What a payment is made of, as it was received. */
export function timelineBody(facts: readonly FactRow[]) {
  return [...facts].sort(byArrival).map((fact) => ({
    type: fact.type,
    source: fact.source,
    event_id: fact.event_id,
    outcome: fact.outcome,
    reason: fact.reason,
    amount: fact.amount,
    currency: fact.currency,
    object_ref: fact.object_ref,
    occurred_at: fact.occurred_at,
    received_at: isoTime(snowflakeTimeMs(BigInt(fact.id))),
    transaction_id: fact.transaction_id,
  }));
}

function byArrival(one: FactRow, other: FactRow): number {
  return BigInt(one.id) < BigInt(other.id) ? -1 : 1;
}
