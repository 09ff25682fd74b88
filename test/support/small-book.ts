import { type Account, availableAmount, postedAmount, type Side } from '#ledger/accounts/account.js';
import type { EntryRequest, Post, Refused } from '#ledger/posting/command.js';
import { MemoryBook } from './memory-book.js';

export const CASH = 1n; // debit, no floor
export const PAYABLE = 2n; // credit, floor 0
export const FEES = 3n; // credit, no floor
export const FLOAT = 4n; // debit, floor 0
export const CASH_USD = 5n; // debit, no floor
export const FEES_USD = 6n; // credit, no floor
export const UNKNOWN = 99n;

/** A merchant with six accounts, for examples of what `decide` does. */
export class SmallBook extends MemoryBook {
  constructor() {
    super();
    this.add(CASH, 'cash:EUR', 'debit', null);
    this.add(PAYABLE, 'merchant_payable:EUR', 'credit', 0n);
    this.add(FEES, 'fee_revenue:EUR', 'credit', null);
    this.add(FLOAT, 'float:EUR', 'debit', 0n);
    this.add(CASH_USD, 'cash:USD', 'debit', null, 'USD');
    this.add(FEES_USD, 'fee_revenue:USD', 'credit', null, 'USD');
  }

  add(id: bigint, code: string, normalSide: Side, minAvailable: bigint | null, currency = 'EUR'): void {
    this.open({ id, code, normalSide, minAvailable, currency });
  }

  /** 100.00 of a customer's money come in: cash rises, and so does what the merchant is owed. */
  fund(amount = 10_000n): bigint {
    return this.accept(post(debit(CASH, amount), credit(PAYABLE, amount))).transaction.id;
  }

  holdOf(amount: bigint, rest: Partial<Post> = {}): bigint {
    return this.accept({ ...hold(debit(PAYABLE, amount), credit(FEES, amount)), ...rest }).transaction.id;
  }

  available(id: bigint): bigint {
    const account = this.account(id) as Account;
    return availableAmount(account.normalSide, this.balance(id) as NonNullable<ReturnType<typeof this.balance>>);
  }

  posted(id: bigint): bigint {
    const account = this.account(id) as Account;
    return postedAmount(account.normalSide, this.balance(id) as NonNullable<ReturnType<typeof this.balance>>);
  }
}

export function debit(accountId: bigint, amount: bigint, rest: Partial<EntryRequest> = {}): EntryRequest {
  return { accountId, direction: 'debit', amount, currency: 'EUR', ...rest };
}

export function credit(accountId: bigint, amount: bigint, rest: Partial<EntryRequest> = {}): EntryRequest {
  return { accountId, direction: 'credit', amount, currency: 'EUR', ...rest };
}

export function post(...entries: EntryRequest[]): Post {
  return { kind: 'post', pending: false, type: 'transfer', entries };
}

export function hold(...entries: EntryRequest[]): Post {
  return { ...post(...entries), pending: true };
}

/** Everything that a refusal tells: code, the path of its fault, its sentence. */
export function told(refused: Refused): [code: string, path: string | undefined, detail: string] {
  return [refused.code, refused.errors?.[0]?.path, refused.detail];
}
