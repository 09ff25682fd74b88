/** The system accounts that payments stand on, with their normal side, in the order of the entries of an adjustment. */
const SIDES = {
  provider_receivable: 'debit',
  merchant_payable: 'credit',
  dispute_reserve: 'credit',
  provider_fees: 'debit',
  cash: 'debit',
} as const;

export type PaymentAccount = keyof typeof SIDES;

export const PAYMENT_ACCOUNTS = Object.keys(SIDES) as PaymentAccount[];

/** Minor units; debits count up, credits count down. */
export interface OnAccount {
  readonly posted: bigint;
  readonly pending: bigint;
}

/** What a payment has on each account. Posted amounts come to zero, and so do pending ones. */
export type OnAccounts = Readonly<Record<PaymentAccount, OnAccount>>;

/** Minor units: what a payment's money comes to. */
export interface Sums {
  readonly held: bigint;
  readonly captured: bigint;
  readonly refunded: bigint;
  readonly settled: bigint;
  /** What processors keep of settlements. */
  readonly settlementFees: bigint;
  /** What disputes take from the merchant, and what of it the processor has. */
  readonly disputed: bigint;
  readonly atProcessor: bigint;
  readonly disputeFees: bigint;
}

export function onAccounts(sums: Sums): OnAccounts {
  const { held, captured, refunded, settled, settlementFees, disputed, atProcessor, disputeFees } = sums;
  const kept = captured - refunded - disputeFees;
  return {
    provider_receivable: { posted: kept - atProcessor - settled, pending: held },
    merchant_payable: { posted: disputed - kept, pending: -held },
    dispute_reserve: { posted: atProcessor - disputed, pending: 0n },
    provider_fees: { posted: settlementFees, pending: 0n },
    cash: { posted: settled - settlementFees, pending: 0n },
  };
}

export const NOTHING_ON_ACCOUNTS: OnAccounts = onAccounts({
  held: 0n,
  captured: 0n,
  refunded: 0n,
  settled: 0n,
  settlementFees: 0n,
  disputed: 0n,
  atProcessor: 0n,
  disputeFees: 0n,
});

/** An entry of an adjustment. Minor units: `posted` ≥ 0, `pending` of any sign, both on `direction`. */
export interface AdjustmentEntry {
  readonly account: PaymentAccount;
  readonly currency: string;
  readonly direction: 'debit' | 'credit';
  readonly posted: bigint;
  readonly pending: bigint;
}

interface Standing {
  readonly currency: string | null;
  readonly accounts: OnAccounts;
}

/**
 * The entries that lead from one standing to another, in the order of PAYMENT_ACCOUNTS; none when nothing differs. A hold is
 * given back on the side on which it stands, so an account whose posted amount moves the other way has two entries. A payment
 * whose currency turns out to be another one leaves the first as if it had never been in it.
 */
export function differenceOf(before: Standing, after: Standing): AdjustmentEntry[] {
  if (before.currency === after.currency || before.currency === null)
    return after.currency === null ? [] : entriesBetween(before.accounts, after.accounts, after.currency);
  const undone = entriesBetween(before.accounts, NOTHING_ON_ACCOUNTS, before.currency);
  return after.currency === null
    ? undone
    : [...undone, ...entriesBetween(NOTHING_ON_ACCOUNTS, after.accounts, after.currency)];
}

function entriesBetween(before: OnAccounts, after: OnAccounts, currency: string): AdjustmentEntry[] {
  const entries: AdjustmentEntry[] = [];
  for (const account of PAYMENT_ACCOUNTS) {
    const moved = after[account].posted - before[account].posted;
    const heldMore = after[account].pending - before[account].pending;
    const holdSide = SIDES[account];
    const pending = holdSide === 'debit' ? heldMore : -heldMore;
    const direction = moved === 0n ? holdSide : moved > 0n ? 'debit' : 'credit';
    const posted = moved < 0n ? -moved : moved;
    if (direction === holdSide) {
      if (posted !== 0n || pending !== 0n) entries.push({ account, currency, direction, posted, pending });
    } else {
      entries.push({ account, currency, direction, posted, pending: 0n });
      if (pending !== 0n) entries.push({ account, currency, direction: holdSide, posted: 0n, pending });
    }
  }
  return entries;
}
