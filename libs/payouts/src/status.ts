import type { BankStatus } from './bank.js';

/**
 * `requested`: nothing is reserved yet; never stored. `paid` is not the end: the money may come back. Nor is `failed`: a bank may find
 * out that it has paid all the same.
 */
export type PayoutStatus = 'requested' | StoredStatus;
export const STORED_STATUSES = ['reserved', 'instructed', 'paid', 'failed', 'returned'] as const;
export type StoredStatus = (typeof STORED_STATUSES)[number];

/** What the bank says of an instruction: where it stands, or that it never took it. */
export type BankWord = BankStatus | 'refused';

/**
 * The statuses that a payout goes through when the bank says a word, in order; none: the word tells nothing. What came back was paid
 * before, and is posted so, as the bank's statement has both. A payout that was taken cannot be refused any more, and one that came
 * back cannot fail: neither moves money.
 */
const STEPS: Readonly<Record<PayoutStatus, Readonly<Record<BankWord, readonly StoredStatus[]>>>> = {
  requested: { refused: [], accepted: [], paid: [], failed: [], returned: [] },
  reserved: {
    refused: ['failed'],
    accepted: ['instructed'],
    paid: ['instructed', 'paid'],
    failed: ['instructed', 'failed'],
    returned: ['instructed', 'paid', 'returned'],
  },
  instructed: { refused: [], accepted: [], paid: ['paid'], failed: ['failed'], returned: ['paid', 'returned'] },
  paid: { refused: [], accepted: [], paid: [], failed: ['failed'], returned: ['returned'] },
  failed: { refused: [], accepted: [], paid: ['paid'], failed: [], returned: ['paid', 'returned'] },
  returned: { refused: [], accepted: [], paid: ['paid'], failed: [], returned: [] },
};

export function transition(status: PayoutStatus, word: BankWord): readonly StoredStatus[] {
  return STEPS[status][word];
}

export type PayoutAccount = 'merchant_payable' | 'payout_clearing' | 'cash';
export const PAYOUT_ACCOUNTS: readonly PayoutAccount[] = ['merchant_payable', 'payout_clearing', 'cash'];

/** Minor units; on accounts debits count up. Those come to zero. */
export interface PayoutPosition extends Readonly<Record<PayoutAccount, bigint>> {
  /** Of what was settled. */
  readonly paidOut: bigint;
  /** What the merchant is to be charged. */
  readonly fee: bigint;
}

/** What a payout has on its accounts: by its status alone, however it got there. What came back is charged, what failed is not. */
export function positionOf(
  status: PayoutStatus,
  { amount, fee }: { readonly amount: bigint; readonly fee: bigint },
): PayoutPosition {
  const taken = { merchant_payable: amount, payout_clearing: 0n, cash: 0n, paidOut: amount, fee };
  switch (status) {
    case 'reserved':
    case 'instructed':
      return { ...taken, payout_clearing: -amount };
    case 'paid':
      return { ...taken, cash: -amount };
    case 'returned':
      return { ...taken, merchant_payable: 0n, paidOut: 0n };
    case 'requested':
    case 'failed':
      return { ...taken, merchant_payable: 0n, paidOut: 0n, fee: 0n };
  }
}

export interface PayoutEntry {
  readonly account: PayoutAccount;
  readonly direction: 'debit' | 'credit';
  /** Minor units, > 0. */
  readonly amount: bigint;
}

/** The entries that lead from one position to another; none: they have the same on all accounts. */
export function entriesBetween(before: PayoutPosition, after: PayoutPosition): PayoutEntry[] {
  return PAYOUT_ACCOUNTS.flatMap((account): PayoutEntry[] => {
    const moved = after[account] - before[account];
    if (moved === 0n) return [];
    return [
      moved > 0n ? { account, direction: 'debit', amount: moved } : { account, direction: 'credit', amount: -moved },
    ];
  });
}
