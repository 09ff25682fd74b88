export const ACCOUNTS = [
  'provider_receivable',
  'merchant_payable',
  'dispute_reserve',
  'provider_fees',
  'cash',
] as const;

export type AccountName = (typeof ACCOUNTS)[number];

/** What a life must end in. Minor units; on accounts debits count up. */
export interface Standing {
  readonly status: string;
  readonly authorised: bigint;
  readonly capturable: bigint;
  readonly captured: bigint;
  readonly refunded: bigint;
  readonly disputed: bigint;
  readonly settled: bigint;
  readonly accounts: Readonly<Record<AccountName, { readonly posted: bigint; readonly pending: bigint }>>;
}

/** Double entry by hand: one debit and one credit for each thing that happens. */
export class Books {
  readonly #posted = new Map<AccountName, bigint>();
  #held = 0n;

  post(debit: AccountName, credit: AccountName, amount: bigint): void {
    this.#posted.set(debit, (this.#posted.get(debit) ?? 0n) + amount);
    this.#posted.set(credit, (this.#posted.get(credit) ?? 0n) - amount);
  }

  hold(amount: bigint): void {
    this.#held = amount;
  }

  balances(): Standing['accounts'] {
    const pending = { provider_receivable: this.#held, merchant_payable: -this.#held };
    return Object.fromEntries(
      ACCOUNTS.map((name) => [
        name,
        { posted: this.#posted.get(name) ?? 0n, pending: pending[name as keyof typeof pending] ?? 0n },
      ]),
    ) as Standing['accounts'];
  }
}
