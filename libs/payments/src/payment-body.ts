import { isoTime } from '#kernel/clock.js';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { type Account, type Balance, totalsBody } from '#ledger/accounts/account.js';
import type { FactRow, PaymentRow } from './payment-rows.js';

/** A payment as clients are shown it, and as it is kept with an Idempotency-Key. */
export function paymentBody(row: PaymentRow) {
  return {
    id: row.id,
    merchant_id: row.merchant_id,
    status: row.status,
    amount: row.amount,
    currency: row.currency,
    capture: row.capture,
    provider: row.provider,
    provider_ref: row.provider_ref,
    description: row.description,
    metadata: row.metadata ?? {},
    created_at: isoTime(snowflakeTimeMs(BigInt(row.id))),
    expires_at: row.expires_at,
    amount_authorised: row.amount_authorised,
    amount_capturable: row.amount_capturable,
    amount_captured: row.amount_captured,
    amount_refunded: row.amount_refunded,
    amount_disputed: row.amount_disputed,
    amount_settled: row.amount_settled,
    ...row.parts,
    transactions: row.transactions,
  };
}

export type PaymentBody = ReturnType<typeof paymentBody>;

/** What whoever changed it is answered: with each account that it moved money on, as it was then. */
export function changedPaymentBody(
  row: PaymentRow,
  accounts: ReadonlyMap<bigint, Account>,
  touched: ReadonlyMap<bigint, Balance> = new Map(),
) {
  const balances = [...touched].map(([id, balance]) => {
    const side = accounts.get(id)?.normalSide;
    if (!side) throw new Error(`a payment on account ${id}, which is not there`);
    return { account_id: String(id), version: String(balance.version), ...totalsBody(side, balance) };
  });
  return { ...paymentBody(row), balances };
}

export type ChangedPaymentBody = ReturnType<typeof changedPaymentBody>;

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
