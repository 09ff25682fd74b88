import type { PayoutStatus } from './status.js';

/** Rows of `payouts` as they are read and written, as JSON that PostgreSQL makes rows of: ids and amounts as text. */

export interface TimelineEntry {
  readonly status: PayoutStatus;
  /** ISO 8601. */
  readonly at: string;
  /** Why, where the bank has said so. */
  readonly detail: string | null;
  /** What it posted. */
  readonly transaction_id: string | null;
}

export interface PayoutRow {
  readonly merchant_id: string;
  readonly id: string;
  readonly amount: string;
  readonly currency: string;
  readonly fee: string;
  readonly destination: string;
  readonly status: PayoutStatus;
  readonly bank_reference: string | null;
  readonly failure_code: string | null;
  readonly transactions: readonly string[];
  readonly timeline: readonly TimelineEntry[];
  readonly bank_sequence: number;
  /** W3C traceparent of who asked for it, where it was sampled. */
  readonly trace_context: string | null;
}

/** A PayoutRow of the row `p`. */
export const PAYOUT_JSON = `json_build_object(
  'merchant_id', p.merchant_id::text, 'id', p.id::text, 'amount', p.amount::text, 'currency', p.currency, 'fee', p.fee::text,
  'destination', p.destination, 'status', p.status, 'bank_reference', p.bank_reference, 'failure_code', p.failure_code,
  'transactions', p.transactions::text[], 'timeline', p.timeline, 'bank_sequence', p.bank_sequence,
  'trace_context', p.trace_context)`;

/** As bigint. */
export function moneyOf({ amount, fee }: PayoutRow): { amount: bigint; fee: bigint } {
  return { amount: BigInt(amount), fee: BigInt(fee) };
}

/** When it came to where it stands, in milliseconds since 1970. */
export function sinceMs({ timeline }: PayoutRow): number {
  return Date.parse(timeline.at(-1)?.at ?? '');
}
