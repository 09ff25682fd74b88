import type { Clocks, Delivery, Refusal } from '#platform/signatures.js';
import type { Fact } from '../facts.js';
import type { ProviderQuery } from './provider-query.js';

/**
 * `body`: the part of it that is signed, which alone is kept and translated. `refused`: how many parts beside it are not; whoever
 * sent them is told, and sends them again.
 */
export type Verdict =
  | { readonly accepted: true; readonly body: Buffer; readonly refused: number }
  | { readonly accepted: false; readonly reason: Refusal };

/**
 * One thing that a body tells, named as the provider names it: a fact of a payment, or why it is none. `eventId`: where the provider's
 * own event is the fact's identity, so that all of what it says counts.
 */
export type Told =
  | { readonly what: string; readonly paymentRef: string; readonly eventId?: string; readonly fact: Fact }
  | { readonly what: string; readonly ignored: string };

/** `unreadable`: it is signed and no message of the provider's. */
export type Translation = { readonly told: readonly Told[] } | { readonly unreadable: string };

/** A payment processor, as far as its webhooks go. Pure. */
export interface Provider {
  /** Of a secret that the merchant was given by the provider. */
  readonly secretForm: string;
  /** The key that such a secret stands for; undefined: it has another form. */
  keyOf(secret: string): Buffer | undefined;
  /** Whether one of the keys signed it. Takes the same time for whatever is wrong with a signature. */
  verify(delivery: Delivery, keys: readonly Buffer[], clocks: Clocks): Verdict;
  /** Facts in the order in which the body tells them: the same for the same body and time of receipt, whenever it is asked. */
  translate(body: Buffer, receivedAtMs: number): Translation;
  /** Absent: it cannot be asked about a payment. */
  readonly query?: ProviderQuery;
}

/** What PostgreSQL can keep as text. */
export function isText(value: string): boolean {
  return !value.includes('\0') && value.isWellFormed();
}

/** Why something that a provider tells is no fact that can be kept. */
export class Untranslatable extends Error {
  override name = 'Untranslatable';
}
