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

/** What money on merchant_payable is of, in the order of the entries: settlements and fees tell them apart. */
const PAYABLE_KINDS = ['payment', 'refund', 'dispute'] as const;

export type PayableKind = (typeof PAYABLE_KINDS)[number];

/** Minor units posted on merchant_payable; debits count up. */
export type OnPayable = Readonly<Record<PayableKind, bigint>>;

/** All that a payment has. `payable` comes to what is posted on merchant_payable. */
export interface Holdings {
  readonly accounts: OnAccounts;
  readonly payable: OnPayable;
}

export function holdingsOf(sums: Sums): Holdings {
  const { held, captured, refunded, settled, settlementFees, disputed, atProcessor, disputeFees } = sums;
  const kept = captured - refunded - disputeFees;
  return {
    accounts: {
      provider_receivable: { posted: kept - atProcessor - settled, pending: held },
      merchant_payable: { posted: disputed - kept, pending: -held },
      dispute_reserve: { posted: atProcessor - disputed, pending: 0n },
      provider_fees: { posted: settlementFees, pending: 0n },
      cash: { posted: settled - settlementFees, pending: 0n },
    },
    payable: { payment: -captured, refund: refunded, dispute: disputed + disputeFees },
  };
}

export const NO_HOLDINGS: Holdings = holdingsOf({
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
  /** Of what is posted on merchant_payable. */
  readonly kind?: PayableKind;
  readonly currency: string;
  readonly direction: 'debit' | 'credit';
  readonly posted: bigint;
  readonly pending: bigint;
}

interface Standing extends Holdings {
  readonly currency: string | null;
}

/**
 * The entries that lead from one standing to another, in the order of PAYMENT_ACCOUNTS; none when nothing differs. On merchant_payable
 * each kind that moves has one of its own, also where they come to nothing together. A hold is given back on the side on which it
 * stands: where no entry is on that side, it has one of its own. A payment whose currency turns out to be another one leaves the
 * first as if it had never been in it.
 */
export function differenceOf(before: Standing, after: Standing): AdjustmentEntry[] {
  if (before.currency === after.currency || before.currency === null)
    return after.currency === null ? [] : entriesBetween(before, after, after.currency);
  const undone = entriesBetween(before, NO_HOLDINGS, before.currency);
  return after.currency === null ? undone : [...undone, ...entriesBetween(NO_HOLDINGS, after, after.currency)];
}

function entriesBetween(before: Holdings, after: Holdings, currency: string): AdjustmentEntry[] {
  const entries: AdjustmentEntry[] = [];
  for (const account of PAYMENT_ACCOUNTS) {
    const holdSide = SIDES[account];
    const heldMore = after.accounts[account].pending - before.accounts[account].pending;
    let pending = holdSide === 'debit' ? heldMore : -heldMore;
    for (const { moved, ...of } of movesOn(account, before, after)) {
      const direction = moved > 0n ? 'debit' : 'credit';
      const taken = direction === holdSide ? pending : 0n;
      entries.push({ account, ...of, currency, direction, posted: moved < 0n ? -moved : moved, pending: taken });
      pending -= taken;
    }
    if (pending !== 0n) entries.push({ account, currency, direction: holdSide, posted: 0n, pending });
  }
  return entries;
}

/** What is posted on an account, in one amount or one of each kind; debits count up. */
function movesOn(account: PaymentAccount, before: Holdings, after: Holdings): { moved: bigint; kind?: PayableKind }[] {
  const moves =
    account === 'merchant_payable'
      ? PAYABLE_KINDS.map((kind) => ({ kind, moved: after.payable[kind] - before.payable[kind] }))
      : [{ moved: after.accounts[account].posted - before.accounts[account].posted }];
  return moves.filter(({ moved }) => moved !== 0n);
}
