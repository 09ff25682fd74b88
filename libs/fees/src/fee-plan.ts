/** What a fee is charged for. */
export type FeeSubject = 'payment' | 'refund' | 'dispute' | 'payout';

/**
 * fee = clamp(half-even(amount × percentBps ÷ 10,000) + fixed, min, max), in minor units of `currency`. `tierFrom`: the rule counts from
 * that gross volume of the calendar month on; of several the highest that was reached before the item.
 */
export interface FeeRule {
  readonly appliesTo: FeeSubject;
  readonly currency: string;
  /** 0 to 10,000: hundredths of a percent. */
  readonly percentBps: number;
  readonly fixed: bigint;
  readonly min: bigint | undefined;
  readonly max: bigint | undefined;
  readonly tierFrom: bigint;
}

export interface FeePlanVersion {
  readonly planId: bigint;
  readonly version: number;
  /** Milliseconds since 1970; -Infinity: since ever. Until the next version's. */
  readonly validFromMs: number;
  /** A refund gives back what its payment was charged, in proportion. */
  readonly refundReturnsFee: boolean;
  readonly rules: readonly FeeRule[];
}

/** A stretch of time in which one version, or none, counts for a merchant. */
export interface FeePlanSpan {
  /** -Infinity: since ever. Until the next span's. */
  readonly fromMs: number;
  readonly plan: FeePlanVersion | undefined;
}
