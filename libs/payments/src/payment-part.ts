import type { Fact } from './facts.js';
import type { NamedAccounts } from './payment-accounts.js';
import type { PaymentAttributes } from './payment-rows.js';
import type { TimerOptions } from './timers/timer-options.js';
import type { PaymentRequest } from './transitions.js';

/** What a command of a commit group asks of one payment. */
export interface PaymentPart {
  readonly subject: string;
  readonly accounts: NamedAccounts;
  readonly options: PaymentOptions;
  readonly ask: OpenPayment | ChangePayment | TellFact | ExpirePayment | SettleParked;
}

export interface PaymentOptions extends TimerOptions {
  /** Facts that one payment may have. */
  readonly factsMax: number;
  /** How long a manual payment holds what it is opened with. */
  readonly authorisationExpiryMs: number;
}

/** The merchant's own opening. `attributes.id` is there where the subject is made of it. */
export interface OpenPayment {
  readonly kind: 'open';
  readonly amount: bigint;
  readonly currency: string;
  readonly attributes: Partial<PaymentAttributes> & Pick<PaymentAttributes, 'capture'>;
}

/** Without an amount: of all that is left. */
export interface ChangePayment {
  readonly kind: PaymentRequest;
  readonly amount?: bigint;
  /** Of a capture: whether the rest of the hold is given back. */
  readonly final?: boolean;
}

export interface TellFact {
  readonly kind: 'tell';
  readonly eventId: string | undefined;
  readonly fact: Fact;
  /** Of the payment that it begins, if it begins one. */
  readonly attributes: Pick<PaymentAttributes, 'provider' | 'provider_ref'>;
}

/** The time of what it holds has come. */
export interface ExpirePayment {
  readonly kind: 'expire';
}

/** A fact that has waited for too long, by the id with which it was received. */
export type SettleParked =
  | { readonly kind: 'give_up' | 'redrive'; readonly id: bigint }
  | { readonly kind: 'discard'; readonly id: bigint; readonly by: string; readonly reason: string };
