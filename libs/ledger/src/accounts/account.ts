/** Which side of an account an entry stands on, and which one makes its balance grow. */
export type Side = 'debit' | 'credit';

/** What never changes of an account. Amounts in minor units of `currency`. */
export interface Account {
  readonly id: bigint;
  readonly code: string;
  readonly currency: string;
  readonly normalSide: Side;
  /** `available` never falls below this; null: no floor. */
  readonly minAvailable: bigint | null;
}

/** How a request names an account. */
export type AccountRef = { id: bigint } | { code: string };

/** The four running totals of an account, in minor units. */
export interface Totals {
  readonly postedDebits: bigint;
  readonly postedCredits: bigint;
  readonly pendingDebits: bigint;
  readonly pendingCredits: bigint;
}

/** What moves of an account. `version` rises by one with each entry. */
export interface Balance extends Totals {
  readonly version: bigint;
  /** The newest transaction with an entry here; the next one's id must be greater. 0n before the first. */
  readonly lastTransactionId: bigint;
  readonly closed: boolean;
}

export const ZERO_TOTALS: Totals = { postedDebits: 0n, postedCredits: 0n, pendingDebits: 0n, pendingCredits: 0n };

export const EMPTY_BALANCE: Balance = { ...ZERO_TOTALS, version: 0n, lastTransactionId: 0n, closed: false };

/** Normal side minus other side, posted entries only. Minor units, may be negative. */
export function postedAmount(side: Side, totals: Totals): bigint {
  return side === 'debit' ? totals.postedDebits - totals.postedCredits : totals.postedCredits - totals.postedDebits;
}

/** Normal side minus other side, pending entries only. */
export function pendingAmount(side: Side, totals: Totals): bigint {
  return side === 'debit' ? totals.pendingDebits - totals.pendingCredits : totals.pendingCredits - totals.pendingDebits;
}

/** What may be spent: the posted amount less what is held on the side that lowers it. */
export function availableAmount(side: Side, totals: Totals): bigint {
  return postedAmount(side, totals) - (side === 'debit' ? totals.pendingCredits : totals.pendingDebits);
}

export function isEmpty(totals: Totals): boolean {
  return totals.postedDebits === totals.postedCredits && totals.pendingDebits === 0n && totals.pendingCredits === 0n;
}

/** Totals as clients are shown them. */
export function totalsBody(side: Side, totals: Totals) {
  return {
    posted: {
      debits: String(totals.postedDebits),
      credits: String(totals.postedCredits),
      amount: String(postedAmount(side, totals)),
    },
    pending: {
      debits: String(totals.pendingDebits),
      credits: String(totals.pendingCredits),
      amount: String(pendingAmount(side, totals)),
    },
    available: String(availableAmount(side, totals)),
  };
}
