import type { PayableItem } from '#ledger/accounts/payable-items.js';
import type { GroupTurn } from '#ledger/writing/group-extension.js';
import type { RoomLetter, SettledRoomLetter } from '#outbox/dead-letters/room-letters.js';
import type { Fact } from './facts.js';
import type { KnownPayment } from './known-payment.js';
import type { NamedAccounts } from './payment-accounts.js';
import type { FactRow, PaymentAttributes, PaymentRow } from './payment-rows.js';
import type { TimerOptions } from './timers/timer-options.js';

/** What becomes of a dead letter of a fact with the group; `open`: it is left. */
export type LetterWrite = { readonly table: 'dead_letters' } & (
  | { readonly open: RoomLetter }
  | { readonly settle: SettledRoomLetter }
);

/** A row as it is now. `isNew`: this group made it. */
export type PaymentWrite =
  | { readonly table: 'payments'; readonly isNew: boolean; readonly row: PaymentRow }
  | { readonly table: 'payment_facts'; readonly isNew: boolean; readonly row: FactRow }
  | { readonly table: 'payable_items'; readonly row: PayableItem }
  | LetterWrite;

export type PaymentTurn = GroupTurn<KnownPayment, PaymentWrite>;

/** What one command of a commit group adds to the facts of a subject. */
export interface Addition {
  readonly subject: string;
  readonly known: KnownPayment;
  /** At least one, in the order in which they are to be told. */
  readonly added: readonly NewFact[];
  /** What the payment gets beside what follows from its facts. */
  readonly attributes: Partial<PaymentAttributes>;
  readonly accounts: NamedAccounts;
  readonly options: TimerOptions;
}

export interface NewFact {
  /** Snowflake: in the order in which they were received. */
  readonly id: bigint;
  readonly eventId: string;
  readonly fact: Fact;
}
