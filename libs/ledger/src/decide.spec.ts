import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_AMOUNT, MAX_TOTAL } from '#kernel/money.js';
import { MemoryBook, START_MS } from '../../../test/support/memory-book.js';
import { type Account, availableAmount, postedAmount, type Side } from './account.js';
import type { Command, EntryRequest, Facts, Part, Post, Refused } from './command.js';

const CASH = 1n; // debit, no floor
const PAYABLE = 2n; // credit, floor 0
const FEES = 3n; // credit, no floor
const FLOAT = 4n; // debit, floor 0
const CASH_USD = 5n; // debit, no floor
const FEES_USD = 6n; // credit, no floor
const UNKNOWN = 99n;

let book: MemoryBook;

beforeEach(() => {
  book = new MemoryBook();
  open(CASH, 'cash:EUR', 'debit', null);
  open(PAYABLE, 'merchant_payable:EUR', 'credit', 0n);
  open(FEES, 'fee_revenue:EUR', 'credit', null);
  open(FLOAT, 'float:EUR', 'debit', 0n);
  open(CASH_USD, 'cash:USD', 'debit', null, 'USD');
  open(FEES_USD, 'fee_revenue:USD', 'credit', null, 'USD');
});

function open(id: bigint, code: string, normalSide: Side, minAvailable: bigint | null, currency = 'EUR'): void {
  book.open({ id, code, normalSide, minAvailable, currency });
}

function debit(accountId: bigint, amount: bigint, rest: Partial<EntryRequest> = {}): EntryRequest {
  return { accountId, direction: 'debit', amount, currency: 'EUR', ...rest };
}

function credit(accountId: bigint, amount: bigint, rest: Partial<EntryRequest> = {}): EntryRequest {
  return { accountId, direction: 'credit', amount, currency: 'EUR', ...rest };
}

function post(...entries: EntryRequest[]): Post {
  return { kind: 'post', pending: false, type: 'transfer', entries };
}

function hold(...entries: EntryRequest[]): Post {
  return { ...post(...entries), pending: true };
}

/** 100.00 of a customer's money come in: cash rises, and so does what the merchant is owed. */
function fund(amount = 10_000n): bigint {
  return book.accept(post(debit(CASH, amount), credit(PAYABLE, amount))).transaction.id;
}

function holdOf(amount: bigint, rest: Partial<Post> = {}): bigint {
  return book.accept({ ...hold(debit(PAYABLE, amount), credit(FEES, amount)), ...rest }).transaction.id;
}

function available(id: bigint): bigint {
  const account = book.account(id) as Account;
  return availableAmount(account.normalSide, book.balance(id) as NonNullable<ReturnType<typeof book.balance>>);
}

function posted(id: bigint): bigint {
  const account = book.account(id) as Account;
  return postedAmount(account.normalSide, book.balance(id) as NonNullable<ReturnType<typeof book.balance>>);
}

/** Everything that a refusal tells: code, the path of its fault, its sentence. */
function told(refused: Refused): [code: string, path: string | undefined, detail: string] {
  return [refused.code, refused.errors?.[0]?.path, refused.detail];
}

describe('posting', () => {
  it('raises a debit-normal account by its debits and a credit-normal one by its credits', () => {
    fund(10_000n);
    expect([posted(CASH), posted(PAYABLE)]).toEqual([10_000n, 10_000n]);
    book.accept(post(debit(PAYABLE, 1_500n), credit(CASH, 1_500n)));
    expect([posted(CASH), posted(PAYABLE)]).toEqual([8_500n, 8_500n]);
    expect(book.balance(CASH)).toMatchObject({ postedDebits: 10_000n, postedCredits: 1_500n, version: 2n });
  });

  it('leaves each entry the totals and version of its account after it', () => {
    fund(10_000n);
    const { transaction, balances, state } = book.accept(post(debit(PAYABLE, 300n), credit(FEES, 300n)));
    expect(transaction.entries).toEqual([
      {
        accountId: PAYABLE,
        accountVersion: 2n,
        direction: 'debit',
        currency: 'EUR',
        posted: 300n,
        pending: 0n,
        postedDebits: 300n,
        postedCredits: 10_000n,
        pendingDebits: 0n,
        pendingCredits: 0n,
      },
      {
        accountId: FEES,
        accountVersion: 1n,
        direction: 'credit',
        currency: 'EUR',
        posted: 300n,
        pending: 0n,
        postedDebits: 0n,
        postedCredits: 300n,
        pendingDebits: 0n,
        pendingCredits: 0n,
      },
    ]);
    expect(balances.get(PAYABLE)).toMatchObject({ version: 2n, lastTransactionId: transaction.id, closed: false });
    expect(state).toBeUndefined();
  });

  it('carries what the client said, and happened when it was recorded unless the client says otherwise', () => {
    const said = { description: 'rent', externalRef: 'inv-1', metadata: '{"a":1}', effectiveAtMs: START_MS - 5_000 };
    const plain = book.accept(post(debit(CASH, 1n), credit(FEES, 1n))).transaction;
    expect(plain).toMatchObject({ kind: 'posted', type: 'transfer', effectiveAtMs: START_MS, parentId: undefined });
    expect(book.accept({ ...post(debit(CASH, 1n), credit(FEES, 1n)), ...said }).transaction).toMatchObject(said);
  });

  it('several entries on one account in one transaction have a version each and one floor together', () => {
    fund(10_000n);
    const { transaction, balances } = book.accept(
      post(debit(PAYABLE, 9_000n), debit(PAYABLE, 8_000n), credit(PAYABLE, 7_000n), credit(FEES, 10_000n)),
    );
    expect(transaction.entries.map((entry) => entry.accountVersion)).toEqual([2n, 3n, 4n, 1n]);
    expect(transaction.entries.map((entry) => entry.postedDebits)).toEqual([9_000n, 17_000n, 17_000n, 0n]);
    expect(balances.get(PAYABLE)).toMatchObject({ version: 4n, postedDebits: 17_000n, postedCredits: 17_000n });
    expect(available(PAYABLE)).toBe(0n);
  });

  it('balances each currency by itself and counts the amount in the first entry’s', () => {
    const usd = { currency: 'USD' };
    const { transaction } = book.accept(
      post(debit(CASH_USD, 70n, usd), debit(CASH, 50n), credit(FEES_USD, 70n, usd), credit(FEES, 50n)),
    );
    expect(transaction).toMatchObject({ amount: 70n, currency: 'USD' });
    expect([posted(CASH), posted(CASH_USD)]).toEqual([50n, 70n]);
  });

  it('takes the largest amount and fills an account to the largest total', () => {
    book.accept(post(debit(CASH, MAX_AMOUNT), credit(FEES, MAX_AMOUNT)));
    book.open(book.account(CASH) as Account, { postedDebits: MAX_TOTAL - 1n });
    book.accept(post(debit(CASH, 1n), credit(FEES, 1n)));
    expect(book.balance(CASH)?.postedDebits).toBe(MAX_TOTAL);
  });
});

describe('a posting is refused when', () => {
  it('its entries do not sum to zero', () => {
    expect(told(book.refusal(post(debit(CASH, 100n), credit(FEES, 99n))))).toEqual([
      'unbalanced_entries',
      'entries',
      'entries: the debits in EUR are 1 more than the other side.',
    ]);
    expect(told(book.refusal(post(debit(CASH, 90n), credit(FEES, 100n))))).toEqual([
      'unbalanced_entries',
      'entries',
      'entries: the credits in EUR are 10 more than the other side.',
    ]);
  });

  it('its entries sum to zero only across currencies', () => {
    const refused = book.refusal(post(debit(CASH, 100n), credit(FEES_USD, 100n, { currency: 'USD' })));
    expect(refused.code).toBe('unbalanced_entries');
  });

  it('an entry is in another currency than its account', () => {
    const usd = { currency: 'USD' };
    expect(told(book.refusal(post(debit(CASH_USD, 5n, usd), credit(FEES, 5n, usd))))).toEqual([
      'currency_mismatch',
      'entries.1.currency',
      'entries.1: account fee_revenue:EUR is in EUR, not USD.',
    ]);
  });

  it('an account is unknown', () => {
    expect(told(book.refusal(post(debit(CASH, 5n), credit(UNKNOWN, 5n))))).toEqual([
      'not_found',
      'entries.1',
      'entries.1: there is no such account.',
    ]);
  });

  it('an account is closed', () => {
    book.accept({ kind: 'close', accountId: FEES });
    expect(told(book.refusal(post(debit(CASH, 5n), credit(FEES, 5n))))).toEqual([
      'account_closed',
      'entries.1',
      'entries.1: account fee_revenue:EUR is closed.',
    ]);
  });

  it('an amount is above the largest', () => {
    const amount = MAX_AMOUNT + 1n;
    for (const command of [post, hold]) {
      expect(told(book.refusal(command(debit(CASH, amount), credit(FEES, amount))))).toEqual([
        'amount_out_of_range',
        'entries.0.amount',
        `entries.0: the amount for account cash:EUR is above ${MAX_AMOUNT}.`,
      ]);
    }
  });

  it.each(['postedDebits', 'postedCredits', 'pendingDebits', 'pendingCredits'] as const)(
    'the %s of an account would pass the largest total',
    (total) => {
      book.open(book.account(CASH) as Account, { [total]: MAX_TOTAL });
      const entry = total.endsWith('Debits') ? debit : credit;
      const other = total.endsWith('Debits') ? credit : debit;
      const command = total.startsWith('posted') ? post : hold;
      expect(told(book.refusal(command(other(FEES, 1n), entry(CASH, 1n))))).toEqual([
        'amount_out_of_range',
        'entries.1.amount',
        `entries.1: the ${total.endsWith('Debits') ? 'debits' : 'credits'} of account cash:EUR would rise above ${MAX_TOTAL}.`,
      ]);
    },
  );
});

describe('a floor', () => {
  it('lets the last minor unit go and refuses the one after', () => {
    fund(100n);
    book.accept(post(debit(PAYABLE, 100n), credit(FEES, 100n)));
    expect(told(book.refusal(post(credit(FEES, 1n), debit(PAYABLE, 1n))))).toEqual([
      'insufficient_funds',
      'entries.1',
      'entries.1: the available balance of account merchant_payable:EUR would be -1, below its floor of 0.',
    ]);
  });

  it('of a debit-normal account is passed by credits', () => {
    book.accept(post(debit(FLOAT, 10n), credit(FEES, 10n)));
    expect(told(book.refusal(post(debit(CASH, 11n), credit(FLOAT, 11n)))).slice(0, 2)).toEqual([
      'insufficient_funds',
      'entries.1',
    ]);
    book.accept(post(debit(CASH, 10n), credit(FLOAT, 10n)));
  });

  it('may lie below zero', () => {
    open(7n, 'overdraft:EUR', 'credit', -50n);
    book.accept(post(debit(7n, 50n), credit(FEES, 50n)));
    expect(book.refusal(post(debit(7n, 1n), credit(FEES, 1n))).code).toBe('insufficient_funds');
  });

  it('may lie above zero', () => {
    open(7n, 'reserve:EUR', 'credit', 50n);
    book.accept(post(debit(CASH, 60n), credit(7n, 60n)));
    expect(book.refusal(post(debit(7n, 11n), credit(FEES, 11n))).detail).toContain(
      'would be 49, below its floor of 50',
    );
  });

  it('binds whoever lowers the balance, not who raises it from below', () => {
    book.open(book.account(PAYABLE) as Account, { postedDebits: 100n });
    book.accept(post(debit(CASH, 10n), credit(PAYABLE, 10n)));
    expect(available(PAYABLE)).toBe(-90n);
    expect(book.refusal(post(debit(PAYABLE, 1n), credit(CASH, 1n))).code).toBe('insufficient_funds');
  });

  it('does not bind a transaction that leaves the balance below it where it was', () => {
    book.open(book.account(PAYABLE) as Account, { postedDebits: 100n });
    book.accept(post(debit(PAYABLE, 5n), credit(PAYABLE, 5n)));
    expect(available(PAYABLE)).toBe(-100n);
  });

  it('counts what is held as spent, but not what is announced', () => {
    fund(100n);
    holdOf(60n);
    book.accept(hold(debit(CASH, 500n), credit(PAYABLE, 500n)));
    expect(available(PAYABLE)).toBe(40n);
    expect(book.refusal(post(debit(PAYABLE, 41n), credit(FEES, 41n))).code).toBe('insufficient_funds');
    expect(book.refusal(hold(debit(PAYABLE, 41n), credit(FEES, 41n))).code).toBe('insufficient_funds');
    holdOf(40n);
    expect(available(PAYABLE)).toBe(0n);
  });

  it('binds reversals', () => {
    const id = fund(100n);
    book.accept(post(debit(PAYABLE, 30n), credit(FEES, 30n)));
    expect(told(book.refusal({ kind: 'reverse', parentId: id })).slice(0, 2)).toEqual([
      'insufficient_funds',
      'entries.1',
    ]);
    book.accept({ kind: 'reverse', parentId: id, amount: 70n });
  });
});

describe('a condition', () => {
  it('on the version speaks of the account before the transaction', () => {
    fund(100n);
    expect(told(book.refusal(post(credit(CASH, 1n), debit(PAYABLE, 1n, { conditions: { version: 2n } }))))).toEqual([
      'condition_failed',
      'entries.1.conditions.version',
      'entries.1: account merchant_payable:EUR is at version 1, not 2.',
    ]);
    const conditions = { version: 1n };
    book.accept(post(debit(PAYABLE, 1n, { conditions }), debit(PAYABLE, 1n, { conditions }), credit(CASH, 2n)));
    expect(book.refusal(post(debit(PAYABLE, 1n, { conditions }), credit(CASH, 1n))).code).toBe('condition_failed');
  });

  it('on the version holds for an account that nothing has moved yet', () => {
    book.accept(post(debit(CASH, 1n), credit(FEES, 1n, { conditions: { version: 0n } })));
  });

  it('on min_available speaks of the account after the transaction', () => {
    fund(100n);
    expect(
      told(book.refusal(post(debit(PAYABLE, 41n, { conditions: { minAvailable: 60n } }), credit(FEES, 41n)))),
    ).toEqual([
      'condition_failed',
      'entries.0.conditions.min_available',
      'entries.0: the available balance of account merchant_payable:EUR would be 59, below 60.',
    ]);
    book.accept(post(debit(PAYABLE, 40n, { conditions: { minAvailable: 60n } }), credit(FEES, 40n)));
  });

  it('on min_available binds who raises the balance, too', () => {
    const conditions = { minAvailable: 100n };
    expect(book.refusal(post(debit(CASH, 99n), credit(PAYABLE, 99n, { conditions }))).code).toBe('condition_failed');
    book.accept(post(debit(CASH, 100n), credit(PAYABLE, 100n, { conditions })));
  });

  it('of every entry must hold', () => {
    const first = { conditions: { version: 0n } };
    const second = { conditions: { version: 5n } };
    expect(told(book.refusal(post(debit(CASH, 1n, first), credit(FEES, 1n, second))))[1]).toBe(
      'entries.1.conditions.version',
    );
  });
});

describe('a hold', () => {
  it('moves pending totals only, and starts pending with all of it remaining', () => {
    fund(100n);
    const command = { ...hold(debit(PAYABLE, 60n), credit(FEES, 60n)), expiresAtMs: START_MS + 1_000 };
    const { transaction, state } = book.accept(command);
    expect(transaction).toMatchObject({ kind: 'pending', amount: 60n, currency: 'EUR', expiresAtMs: START_MS + 1_000 });
    expect(state).toMatchObject({
      transactionId: transaction.id,
      expiresAtMs: START_MS + 1_000,
      value: { status: 'pending', remaining: 60n, reversed: 0n },
    });
    expect([posted(PAYABLE), available(PAYABLE), posted(FEES), available(FEES)]).toEqual([100n, 40n, 0n, 0n]);
  });

  it('is posted whole by a capture without an amount, whatever `final` says', () => {
    for (const final of [true, false]) {
      fund(60n);
      const before = posted(FEES);
      const parentId = holdOf(60n);
      const { transaction, state } = book.accept({ kind: 'capture', parentId, final });
      expect(transaction).toMatchObject({ kind: 'capture', type: 'transfer', amount: 60n, parentId });
      expect(state?.value).toMatchObject({ status: 'posted', remaining: 0n, reversed: 0n });
      expect(posted(FEES)).toBe(before + 60n);
      expect(book.balance(FEES)?.pendingCredits).toBe(0n);
    }
  });

  it('is posted in parts up to its total while `final` is false', () => {
    fund(100n);
    const parentId = holdOf(100n);
    const parts = [30n, 50n, 20n].map((amount) => book.accept({ kind: 'capture', parentId, amount, final: false }));
    expect(parts.map((part) => part.state?.value)).toMatchObject([
      { status: 'partially_posted', remaining: 70n, reversed: 0n },
      { status: 'partially_posted', remaining: 20n, reversed: 0n },
      { status: 'posted', remaining: 0n, reversed: 0n },
    ]);
    expect(parts.map((part) => part.transaction.entries[0]?.pending)).toEqual([-30n, -50n, -20n]);
    expect([posted(FEES), available(PAYABLE)]).toEqual([100n, 0n]);
  });

  it('releases the rest with a final capture in part', () => {
    fund(100n);
    const parentId = holdOf(100n);
    const { transaction, state } = book.accept({ kind: 'capture', parentId, amount: 30n, final: true });
    expect(transaction.amount).toBe(30n);
    expect(transaction.entries.map(({ posted, pending }) => [posted, pending])).toEqual([
      [30n, -100n],
      [30n, -100n],
    ]);
    expect(state?.value).toMatchObject({ status: 'posted', remaining: 0n, reversed: 0n });
    expect([posted(FEES), available(PAYABLE)]).toEqual([30n, 70n]);
    expect(told(book.refusal({ kind: 'capture', parentId, amount: 1n, final: true }))[0]).toBe('not_pending');
  });

  it('second capture beyond what remains is refused', () => {
    fund(100n);
    const parentId = holdOf(100n);
    book.accept({ kind: 'capture', parentId, amount: 60n, final: false });
    expect(told(book.refusal({ kind: 'capture', parentId, amount: 41n, final: false }))).toEqual([
      'amount_exceeds_remaining',
      undefined,
      `41 exceeds the 40 that transaction ${parentId} still holds.`,
    ]);
    book.accept({ kind: 'capture', parentId, amount: 40n, final: false });
  });

  it('a capture without an amount after one in part posts what remains', () => {
    fund(100n);
    const parentId = holdOf(100n);
    book.accept({ kind: 'capture', parentId, amount: 60n, final: false });
    expect(book.accept({ kind: 'capture', parentId, final: false }).transaction.amount).toBe(40n);
  });

  it('of several amounts is posted and voided whole, never in part', () => {
    fund(100n);
    const usd = { currency: 'USD' };
    const command = hold(
      debit(PAYABLE, 60n),
      credit(FEES, 50n),
      credit(CASH, 10n),
      debit(CASH_USD, 7n, usd),
      credit(FEES_USD, 7n, usd),
    );
    const parentId = book.accept(command).transaction.id;
    expect(told(book.refusal({ kind: 'capture', parentId, amount: 10n, final: false }))).toEqual([
      'validation_failed',
      'amount',
      'amount: this transaction has several amounts: name what is to be posted of each account in entries',
    ]);
    book.accept({ kind: 'capture', parentId, final: true });
    expect([posted(PAYABLE), posted(FEES), posted(CASH_USD)]).toEqual([40n, 50n, 7n]);
    expect([posted(CASH), available(PAYABLE), available(CASH)]).toEqual([90n, 40n, 90n]);

    const second = book.accept(hold(debit(CASH, 60n), credit(FEES, 50n), credit(PAYABLE, 10n))).transaction.id;
    const { transaction } = book.accept({ kind: 'void', parentId: second });
    expect(transaction.entries.map(({ posted, pending }) => [posted, pending])).toEqual([
      [0n, -60n],
      [0n, -50n],
      [0n, -10n],
    ]);
  });

  it('capture below a floor goes through: the money was set aside already', () => {
    fund(100n);
    const parentId = holdOf(100n);
    book.open(book.account(PAYABLE) as Account, { ...book.balance(PAYABLE), postedDebits: 500n });
    book.accept({ kind: 'capture', parentId, amount: 40n, final: false });
    book.accept({ kind: 'capture', parentId, final: true });
  });

  it('is voided with what remains', () => {
    fund(100n);
    const parentId = holdOf(100n);
    book.accept({ kind: 'capture', parentId, amount: 60n, final: false });
    const { transaction, state } = book.accept({ kind: 'void', parentId });
    expect(transaction).toMatchObject({ kind: 'void', type: 'void', amount: 40n, parentId });
    expect(state?.value).toMatchObject({ status: 'voided', remaining: 0n, reversed: 0n });
    expect([posted(FEES), available(PAYABLE), book.balance(PAYABLE)?.pendingDebits]).toEqual([60n, 40n, 0n]);
  });

  it.each([
    ['posted', { kind: 'capture', final: true }],
    ['voided', { kind: 'void' }],
  ] as const)('once %s neither captures nor voids nor expires', (status, end) => {
    fund(100n);
    const parentId = holdOf(100n, { expiresAtMs: START_MS + 10 });
    book.accept({ ...end, parentId });
    book.nowMs = START_MS + 10;
    const sentence = `Transaction ${parentId} is ${status}.`;
    expect(told(book.refusal({ kind: 'capture', parentId, final: true }))).toEqual([
      'not_pending',
      undefined,
      sentence,
    ]);
    expect(told(book.refusal({ kind: 'void', parentId }))).toEqual(['not_pending', undefined, sentence]);
    expect(told(book.refusal({ kind: 'expire', parentId }))).toEqual(['not_pending', undefined, sentence]);
  });

  it('is not something that was posted at once', () => {
    const parentId = fund(100n);
    for (const kind of ['capture', 'void', 'expire'] as const) {
      const refused = book.refusal(kind === 'capture' ? { kind, parentId, final: true } : { kind, parentId });
      expect(told(refused)).toEqual(['not_pending', undefined, `Transaction ${parentId} is posted.`]);
    }
  });

  it('of an unknown transaction is not found', () => {
    for (const command of [
      { kind: 'capture', parentId: UNKNOWN, final: true },
      { kind: 'void', parentId: UNKNOWN },
      { kind: 'expire', parentId: UNKNOWN },
      { kind: 'reverse', parentId: UNKNOWN },
    ] as const) {
      expect(told(book.refusal(command))).toEqual(['not_found', undefined, 'There is no such transaction.']);
    }
  });
});

describe('expiry', () => {
  it('capture at or after it is refused, a millisecond before it is not', () => {
    fund(100n);
    const expiresAtMs = START_MS + 1_000;
    const parentId = holdOf(50n, { expiresAtMs });
    book.nowMs = expiresAtMs - 1;
    book.accept({ kind: 'capture', parentId, amount: 10n, final: false });
    book.nowMs = expiresAtMs;
    expect(told(book.refusal({ kind: 'capture', parentId, amount: 10n, final: false }))).toEqual([
      'not_pending',
      undefined,
      `Transaction ${parentId} expired at ${new Date(expiresAtMs).toISOString()}.`,
    ]);
  });

  it('releases the hold at its time and not before', () => {
    fund(100n);
    const parentId = holdOf(50n, { expiresAtMs: START_MS + 1_000 });
    book.accept({ kind: 'capture', parentId, amount: 20n, final: false });
    book.nowMs = START_MS + 999;
    expect(told(book.refusal({ kind: 'expire', parentId }))).toEqual([
      'invalid_transition',
      undefined,
      `Transaction ${parentId} has not expired.`,
    ]);
    book.nowMs = START_MS + 1_000;
    const { transaction, state } = book.accept({ kind: 'expire', parentId });
    expect(transaction).toMatchObject({ kind: 'expiry', type: 'expiry', amount: 30n });
    expect(state).toMatchObject({
      transactionId: parentId,
      expiresAtMs: START_MS + 1_000,
      value: { status: 'expired', remaining: 0n, reversed: 0n },
    });
    expect(available(PAYABLE)).toBe(80n);
    expect(book.refusal({ kind: 'expire', parentId }).detail).toBe(`Transaction ${parentId} is expired.`);
  });

  it('never comes for a hold without a time', () => {
    fund(100n);
    const parentId = holdOf(50n);
    book.nowMs += 1_000_000_000;
    expect(book.refusal({ kind: 'expire', parentId }).code).toBe('invalid_transition');
    book.accept({ kind: 'capture', parentId, final: true });
  });

  it('does not stand in the way of a void', () => {
    fund(100n);
    const parentId = holdOf(50n, { expiresAtMs: START_MS + 1 });
    book.nowMs += 1_000;
    book.accept({ kind: 'void', parentId });
  });
});

describe('what moves a parent', () => {
  const MOVES = {
    capture: (parentId: bigint, facts: Facts = {}): Command => ({ kind: 'capture', parentId, final: true, ...facts }),
    void: (parentId: bigint, facts: Facts = {}): Command => ({ kind: 'void', parentId, ...facts }),
    expire: (parentId: bigint, facts: Facts = {}): Command => ({ kind: 'expire', parentId, ...facts }),
    reverse: (parentId: bigint, facts: Facts = {}): Command => ({ kind: 'reverse', parentId, ...facts }),
  };
  const parentAt = (kind: keyof typeof MOVES, effectiveAtMs: number): bigint => {
    const money = [debit(CASH, 5n), credit(FEES, 5n)] as const;
    const command = kind === 'reverse' ? post(...money) : { ...hold(...money), expiresAtMs: START_MS + 10 };
    return book.accept({ ...command, effectiveAtMs }).transaction.id;
  };
  const kinds = Object.keys(MOVES) as (keyof typeof MOVES)[];

  it.each(kinds)('%s takes effect when it is made, or with its parent where that is later', (kind) => {
    const past = parentAt(kind, START_MS - 1_000);
    const future = parentAt(kind, START_MS + 1_000);
    if (kind === 'expire') book.nowMs = START_MS + 10;
    const effective = (id: bigint) => book.accept(MOVES[kind](id)).transaction.effectiveAtMs;
    expect([effective(past), effective(future)]).toEqual([book.nowMs, START_MS + 1_000]);
  });

  it.each(kinds.filter((kind) => kind !== 'expire'))('%s takes effect as asked, never before its parent', (kind) => {
    const parentId = parentAt(kind, START_MS - 1_000);
    expect(told(book.refusal(MOVES[kind](parentId, { effectiveAtMs: START_MS - 1_001 })))).toEqual([
      'validation_failed',
      'effective_at',
      `effective_at: transaction ${parentId} is effective from ${new Date(START_MS - 1_000).toISOString()} on, and nothing moves it before that.`,
    ]);
    const facts = { effectiveAtMs: START_MS - 1_000, externalRef: 'r', description: 'd', metadata: '{"a":1}' };
    expect(book.accept(MOVES[kind](parentId, facts)).transaction).toMatchObject({ ...facts, parentId });
  });
});

describe('a reversal', () => {
  it('takes the whole back with its sides swapped', () => {
    const parentId = fund(100n);
    const { transaction, state } = book.accept({ kind: 'reverse', parentId });
    expect(transaction).toMatchObject({ kind: 'reversal', type: 'reversal', amount: 100n, parentId });
    expect(transaction.entries.map((entry) => [entry.accountId, entry.direction, entry.posted])).toEqual([
      [CASH, 'credit', 100n],
      [PAYABLE, 'debit', 100n],
    ]);
    expect(state?.value).toMatchObject({ status: 'posted', remaining: 0n, reversed: 100n });
    expect([posted(CASH), posted(PAYABLE)]).toEqual([0n, 0n]);
    expect(told(book.refusal({ kind: 'reverse', parentId }))).toEqual([
      'already_reversed',
      undefined,
      `Transaction ${parentId} has already been reversed.`,
    ]);
  });

  it('in parts never exceeds the whole', () => {
    const parentId = fund(100n);
    expect(book.accept({ kind: 'reverse', parentId, amount: 60n }).state?.value.reversed).toBe(60n);
    expect(told(book.refusal({ kind: 'reverse', parentId, amount: 41n }))).toEqual([
      'amount_exceeds_remaining',
      undefined,
      `41 exceeds the 40 of transaction ${parentId} that is not reversed yet.`,
    ]);
    expect(book.accept({ kind: 'reverse', parentId }).transaction.amount).toBe(40n);
    expect(book.refusal({ kind: 'reverse', parentId, amount: 1n }).code).toBe('already_reversed');
  });

  it('of a capture takes back what that capture posted, and leaves the hold as it is', () => {
    fund(100n);
    const holdId = holdOf(100n);
    const parentId = book.accept({ kind: 'capture', parentId: holdId, amount: 30n, final: false }).transaction.id;
    const { transaction, state } = book.accept({ kind: 'reverse', parentId });
    expect(transaction.entries.map(({ posted, pending }) => [posted, pending])).toEqual([
      [30n, 0n],
      [30n, 0n],
    ]);
    expect(state).toMatchObject({ transactionId: parentId, value: { status: 'posted', remaining: 0n, reversed: 30n } });
    expect(book.states.get(holdId)).toMatchObject({ status: 'partially_posted', remaining: 70n, reversed: 0n });
    expect([posted(FEES), available(PAYABLE)]).toEqual([0n, 30n]);
  });

  it('of several amounts or currencies comes whole, never in part', () => {
    const usd = { currency: 'USD' };
    const parentId = book.accept(
      post(
        debit(CASH, 60n),
        credit(FEES, 50n),
        credit(PAYABLE, 10n),
        debit(CASH_USD, 7n, usd),
        credit(FEES_USD, 7n, usd),
      ),
    ).transaction.id;
    expect(told(book.refusal({ kind: 'reverse', parentId, amount: 7n }))).toEqual([
      'validation_failed',
      'amount',
      'amount: this transaction has several amounts: name what is to be reversed of each account in entries',
    ]);
    book.accept({ kind: 'reverse', parentId });
    expect([CASH, FEES, PAYABLE, CASH_USD, FEES_USD].map(posted)).toEqual([0n, 0n, 0n, 0n, 0n]);
    expect(book.refusal({ kind: 'reverse', parentId }).code).toBe('already_reversed');
  });

  it('of two entries on one side is of several amounts', () => {
    const parentId = book.accept(post(debit(CASH, 10n), debit(CASH, 10n), credit(FEES, 20n))).transaction.id;
    expect(book.refusal({ kind: 'reverse', parentId, amount: 10n }).code).toBe('validation_failed');
    expect(book.accept({ kind: 'reverse', parentId }).transaction.amount).toBe(20n);
  });

  it('of a hold, a void or an expiry is refused: nothing was posted', () => {
    fund(100n);
    const held = holdOf(10n);
    const voided = book.accept({ kind: 'void', parentId: held }).transaction.id;
    const due = holdOf(10n, { expiresAtMs: START_MS + 1 });
    book.nowMs += 1;
    const expired = book.accept({ kind: 'expire', parentId: due }).transaction.id;
    for (const [parentId, sentence] of [
      [held, /is a hold and was not itself posted/],
      [voided, /only released a hold/],
      [expired, /only released a hold/],
    ] as const) {
      const refused = book.refusal({ kind: 'reverse', parentId });
      expect(refused.code).toBe('invalid_transition');
      expect(refused.detail).toMatch(sentence);
    }
  });

  it('into a closed account is refused', () => {
    const parentId = book.accept(post(debit(CASH, 5n), credit(FEES, 5n))).transaction.id;
    book.accept(post(debit(FEES, 5n), credit(CASH, 5n)));
    book.accept({ kind: 'close', accountId: FEES });
    expect(told(book.refusal({ kind: 'reverse', parentId })).slice(0, 2)).toEqual(['account_closed', 'entries.1']);
  });
});

describe('parts of several amounts', () => {
  const several = (): bigint =>
    book.accept(hold(debit(CASH, 100n), credit(FEES, 60n), credit(PAYABLE, 40n))).transaction.id;
  const capture = (parentId: bigint, ...entries: Part[]): Command => ({
    kind: 'capture',
    parentId,
    entries,
    final: false,
  });
  const part = (accountId: bigint, amount: bigint): Part => ({ accountId, amount });

  it('are taken entry by entry, and what is left is kept entry by entry', () => {
    const parentId = several();
    const { transaction, state } = book.accept(capture(parentId, part(FEES, 25n), part(CASH, 25n)));
    expect(transaction.entries.map(({ accountId, posted, pending }) => [accountId, posted, pending])).toEqual([
      [CASH, 25n, -25n],
      [FEES, 25n, -25n],
    ]);
    expect(state?.value.left).toEqual([75n, 35n, 40n]);
    const reversal = book.accept({
      kind: 'reverse',
      parentId: transaction.id,
      entries: [part(CASH, 5n), part(FEES, 5n)],
    });
    expect(reversal.state?.value.left).toEqual([20n, 20n]);
  });

  it('must balance, stay within what is left, and name each account once', () => {
    const parentId = several();
    book.accept(capture(parentId, part(CASH, 30n), part(FEES, 30n)));
    expect(told(book.refusal(capture(parentId, part(CASH, 30n), part(FEES, 29n))))).toEqual([
      'unbalanced_entries',
      'entries',
      'entries: the debits in EUR are 1 more than the other side.',
    ]);
    expect(told(book.refusal(capture(parentId, part(CASH, 31n), part(FEES, 31n))))).toEqual([
      'amount_exceeds_remaining',
      'entries.1.amount',
      `entries.1: 31 exceeds the 30 on account fee_revenue:EUR that transaction ${parentId} still holds.`,
    ]);
    book.accept(capture(parentId, part(CASH, 30n), part(FEES, 30n)));
    const twice = book.refusal(capture(parentId, part(CASH, 1n), part(PAYABLE, 2n), part(CASH, 1n)));
    expect(told(twice)).toEqual(['validation_failed', 'entries.2.account_id', 'entries.2.account_id: is named twice']);
    expect(told(book.refusal(capture(parentId, part(FLOAT, 1n))))[1]).toBe('entries.0.account_id');
  });

  it('of one account on one side are one amount; of one on both sides none can be named', () => {
    book.accept(post(debit(FLOAT, 10n), credit(FEES, 10n)));
    const command = hold(debit(CASH, 3n), credit(FEES, 12n), debit(CASH, 7n), debit(FLOAT, 4n), credit(FLOAT, 2n));
    const parentId = book.accept(command).transaction.id;
    expect(book.accept(capture(parentId, part(CASH, 5n), part(FEES, 5n))).state?.value.left).toEqual([
      0n,
      7n,
      5n,
      4n,
      2n,
    ]);
    expect(told(book.refusal(capture(parentId, part(FEES, 2n), part(FLOAT, 2n))))).toEqual([
      'validation_failed',
      'entries.1.account_id',
      `entries.1.account_id: stands on both sides of transaction ${parentId}, which can only be posted whole`,
    ]);
  });
});

describe('a reversal that is reversed', () => {
  const reverse = (parentId: bigint, amount?: bigint): bigint =>
    book.accept({ kind: 'reverse', parentId, ...(amount !== undefined && { amount }) }).transaction.id;
  const left = (id: bigint) => book.states.get(id)?.left[0];

  it('gives back what it took, and each step up the other way round', () => {
    const payment = fund(100n);
    const refund = reverse(payment);
    const bounce = reverse(refund, 30n);
    expect([left(payment), left(refund)]).toEqual([30n, 70n]);
    const again = reverse(bounce, 20n);
    expect([left(payment), left(refund), left(bounce)]).toEqual([10n, 90n, 10n]);
    reverse(again);
    expect([left(payment), left(refund), left(bounce), left(again)]).toEqual([30n, 70n, 30n, 0n]);
  });

  it('takes no more than is left, where what came back was reversed otherwise', () => {
    const payment = fund(100n);
    const bounce = reverse(reverse(payment));
    reverse(payment, 60n);
    expect(told(book.refusal({ kind: 'reverse', parentId: bounce, amount: 41n }))).toEqual([
      'amount_exceeds_remaining',
      undefined,
      `What came back to transaction ${payment} has been reversed otherwise: it has not as much left.`,
    ]);
    reverse(bounce, 40n);
    expect(left(payment)).toBe(0n);
  });

  it('goes back twenty reversals and no more: each costs as much as all before it', () => {
    let newest = fund(5n);
    for (let depth = 0; depth <= 20; depth += 1) newest = reverse(newest);
    expect(book.refusal({ kind: 'reverse', parentId: newest }).code).toBe('invalid_transition');
  });
});

describe('closing an account', () => {
  it('marks it closed and posts nothing', () => {
    const decision = book.accept({ kind: 'close', accountId: FEES });
    expect(decision.transaction).toBeUndefined();
    expect(decision.state).toBeUndefined();
    expect(book.balance(FEES)).toMatchObject({ closed: true, version: 0n });
  });

  it('whose money came and went is possible', () => {
    const parentId = fund(100n);
    book.accept({ kind: 'reverse', parentId });
    book.accept({ kind: 'close', accountId: PAYABLE });
    expect(book.balance(PAYABLE)).toMatchObject({ closed: true, version: 2n, postedDebits: 100n, postedCredits: 100n });
  });

  it('with a balance is refused', () => {
    fund(100n);
    const refused = book.refusal({ kind: 'close', accountId: PAYABLE });
    expect(told(refused)).toEqual([
      'invalid_transition',
      undefined,
      `Account ${PAYABLE} is not empty: only an account without balance or holds closes.`,
    ]);
  });

  it.each(['the debit side', 'the credit side'])('with a hold on %s is refused', (side) => {
    book.accept(hold(debit(CASH, 10n), credit(FEES, 10n)));
    expect(book.refusal({ kind: 'close', accountId: side === 'the debit side' ? CASH : FEES }).code).toBe(
      'invalid_transition',
    );
  });

  it('a second time is refused, and so is an unknown one', () => {
    book.accept({ kind: 'close', accountId: FEES });
    expect(book.refusal({ kind: 'close', accountId: FEES }).detail).toBe(`Account ${FEES} is already closed.`);
    expect(told(book.refusal({ kind: 'close', accountId: UNKNOWN }))).toEqual([
      'not_found',
      undefined,
      'There is no such account.',
    ]);
  });
});

describe('reopening', () => {
  it('lets a closed account take entries again, and of an open one changes nothing', () => {
    book.accept({ kind: 'close', accountId: FEES });
    expect(book.accept({ kind: 'reopen', accountId: FEES }).balances.get(FEES)?.closed).toBe(false);
    expect(book.accept({ kind: 'reopen', accountId: FEES }).balances.size).toBe(0);
    book.accept(post(debit(CASH, 5n), credit(FEES, 5n)));
    expect(posted(FEES)).toBe(5n);
  });

  it('of an unknown account is refused', () => {
    expect(book.refusal({ kind: 'reopen', accountId: UNKNOWN }).code).toBe('not_found');
  });
});
