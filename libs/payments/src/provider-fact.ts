import type { Fact } from './facts.js';

/** A fact with where it belongs: what an adapter makes of what its provider told. */
export interface ProviderFact {
  /** `[a-z0-9][a-z0-9_-]{0,63}`. */
  readonly provider: string;
  /** The provider's own id of the payment, at most 255 characters. */
  readonly paymentRef: string;
  /** Where the provider's own event is the identity, as `fact.id`. Absent: that is made of what happened, and several events may tell it. */
  readonly eventId?: string;
  readonly fact: Fact;
}

/** Of a payment that was opened without a reference: its subject is `payment/<id>`. */
export const OWN_PROVIDER = 'payment';

/** Identities that are ours to give. */
export const OWN_FACT_ID = /^(?:request|contradiction):/;

/** What the facts of one payment are kept under, also before there is a payment. */
export function subjectOf({ provider, paymentRef }: Pick<ProviderFact, 'provider' | 'paymentRef'>): string {
  return `${provider}/${paymentRef}`;
}

/** `duplicate`: this identity is known, and its content. */
export interface ToldOutcome {
  readonly outcome: 'applied' | 'duplicate' | 'stale' | 'parked' | 'rejected';
  /** Absent: there is no payment yet. */
  readonly paymentId?: string;
  /** Why it was rejected. */
  readonly reason?: string;
}
