/**
 * What is known of a payment: a grow-only set of facts, told by its provider or made by the merchant's own requests. Order, duplicates
 * and batches of their arrival mean nothing: all that a payment is follows from the set (`position.ts`).
 */

/** In the order of a payment's life; `docs/payments.md` has what each means for the accounts. */
export const FACT_TYPES = [
  'authorised',
  'authorisation_adjusted',
  'authorisation_failed',
  'captured',
  'capture_failed',
  'voided',
  'expired',
  'refunded',
  'refund_failed',
  'refund_reversed',
  'dispute_opened',
  'dispute_funds_withdrawn',
  'dispute_funds_reinstated',
  'dispute_won',
  'dispute_lost',
  'dispute_fee',
  'settled',
] as const;

export type FactType = (typeof FACT_TYPES)[number];

/** An inquiry moves no money. Ascending: a dispute is at the latest stage that it was told to be at. */
export const DISPUTE_STAGES = ['inquiry', 'chargeback', 'second_chargeback', 'pre_arbitration'] as const;

export type DisputeStage = (typeof DISPUTE_STAGES)[number];

export interface Fact {
  /** Who tells the same change twice uses the same: the provider's own identity of it, or `request:<id>`. */
  readonly id: string;
  /** A merchant's request that was accepted is what the merchant claims; a provider's fact is what happened. */
  readonly source: 'request' | 'provider';
  readonly type: FactType;
  /** Minor units, ≥ 0. Absent: all that it can be about. */
  readonly amount?: bigint;
  /** ISO 4217. Absent: the payment's. */
  readonly currency?: string;
  /** `delta`: this object's own amount; `cumulative`: what it, or without `objectRef` the payment, comes to so far. */
  readonly amountKind: 'delta' | 'cumulative';
  /** The provider's id of the capture, refund, dispute or settlement that it is about. Absent: the only one, or one of its own. */
  readonly objectRef?: string;
  /** The provider's own count of a payment's facts, from 1. */
  readonly sequence?: number;
  /** Minor units, ≥ 0: what the processor keeps of a `settled` amount, or charges for a dispute. */
  readonly fee?: bigint;
  readonly stage?: DisputeStage;
  readonly reason?: string;
  /** Of a `captured` request: whether the rest of the hold is given back. */
  readonly final?: boolean;
  /** When it happened in the world, as who tells it says. */
  readonly occurredAtMs: number;
}
