import type { Span } from '@opentelemetry/api';

/** What is to be paid. The same key, whoever sends it and however often: one payment. */
export interface Instruction {
  /** Ours: `<merchant_id>-<payout_id>`, so that whoever is told a key knows whose it is. */
  readonly key: string;
  /** Minor units, > 0. */
  readonly amount: bigint;
  readonly currency: string;
  readonly destination: string;
  /** The payout's id, for people. */
  readonly reference: string;
}

/** Where the bank says that an instruction stands. */
export type BankStatus = 'accepted' | 'paid' | 'failed' | 'returned';

/** `refused`: it has not taken it and never will. `unknown`: it may have. */
export type Instructed =
  | { readonly kind: 'accepted'; readonly reference: string; readonly sequence: number }
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'unknown' };

/** `absent`: it knows no such key. `unknown`: nothing was learnt. */
export type Known =
  | {
      readonly kind: 'known';
      readonly status: BankStatus;
      readonly failureCode?: string;
      readonly reference: string;
      /** Of its words about the key: a higher one is a later one. */
      readonly sequence: number;
    }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown' };

/** Who pays merchants. Both answer within BANK_TIMEOUT_MS; whatever is no answer is `unknown`. They throw where we are at fault. `within`: the span of what asks. */
export interface Bank {
  instruct(instruction: Instruction, within?: Span): Promise<Instructed>;
  ask(key: string, within?: Span): Promise<Known>;
}
