import type { FeeRule } from '#fees/fee-plan.js';
import type { Account } from '#ledger/accounts/account.js';
import type { PayableItem } from '#ledger/accounts/payable-items.js';
import type { GroupTurn } from '#ledger/writing/group-extension.js';
import type { PayoutRow } from './payout-rows.js';
import type { PayoutTimes } from './payout-timers.js';
import type { BankWord, PayoutAccount } from './status.js';

/** What a command of a commit group asks of payouts. */
export interface PayoutPart {
  readonly accounts: Readonly<Record<PayoutAccount, Account>>;
  readonly times: PayoutTimes;
  readonly ask: RequestPayout | TellPayout;
}

export interface RequestPayout {
  readonly kind: 'request';
  /** Minor units, > 0; absent: all that is settled and not paid, as far as one entry holds it. */
  readonly amount?: bigint | undefined;
  readonly currency: string;
  readonly destination: string;
  /** Of the merchant's plan, as it counts now. */
  readonly rules: readonly FeeRule[];
  /** Where nothing is left: answered with nothing, not refused. */
  readonly mayBeNothing: boolean;
}

/** What the bank has said when it was asked. */
export interface TellPayout {
  readonly kind: 'tell';
  readonly id: bigint;
  readonly word: BankWord;
  /** Undefined: it knows nothing of it. */
  readonly sequence: number | undefined;
  readonly reference: string | undefined;
  readonly failureCode: string | undefined;
}

/** What was settled in a currency, what of it is paid out, and the gross volume of this month. */
export interface Settled {
  readonly settled: bigint;
  readonly paidOut: bigint;
  readonly volume: bigint;
}

export type KnownToPayouts = PayoutRow | Settled;

export type PayoutWrite =
  | { readonly table: 'payouts'; readonly isNew: boolean; readonly row: PayoutRow }
  | { readonly table: 'payable_items'; readonly row: PayableItem }
  /** How much more is paid out. */
  | {
      readonly table: 'settled_balances';
      readonly merchantId: bigint;
      readonly currency: string;
      readonly more: bigint;
    };

export type PayoutTurn = GroupTurn<KnownToPayouts, PayoutWrite>;

export function payoutKey(id: bigint | string): string {
  return `payout ${id}`;
}

export function settledKey(currency: string): string {
  return `settled ${currency}`;
}
