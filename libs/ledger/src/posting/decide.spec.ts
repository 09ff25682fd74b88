import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_AMOUNT, MAX_TOTAL } from '#kernel/money.js';
import { START_MS } from '../../../../test/support/memory-book.js';
import {
  CASH,
  CASH_USD,
  credit,
  debit,
  FEES,
  FEES_USD,
  FLOAT,
  hold,
  PAYABLE,
  post,
  SmallBook,
  told,
  UNKNOWN,
} from '../../../../test/support/small-book.js';
import type { Account } from '../accounts/account.js';

let book: SmallBook;

beforeEach(() => {
  book = new SmallBook();
});

describe('posting', () => {
  it('raises a debit-normal account by its debits and a credit-normal one by its credits', () => {
    book.fund(10_000n);
    expect([book.posted(CASH), book.posted(PAYABLE)]).toEqual([10_000n, 10_000n]);
    book.accept(post(debit(PAYABLE, 1_500n), credit(CASH, 1_500n)));
    expect([book.posted(CASH), book.posted(PAYABLE)]).toEqual([8_500n, 8_500n]);
    expect(book.balance(CASH)).toMatchObject({ postedDebits: 10_000n, postedCredits: 1_500n, version: 2n });
  });

  it('leaves each entry the totals and version of its account after it', () => {
    book.fund(10_000n);
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
    book.fund(10_000n);
    const { transaction, balances } = book.accept(
      post(debit(PAYABLE, 9_000n), debit(PAYABLE, 8_000n), credit(PAYABLE, 7_000n), credit(FEES, 10_000n)),
    );
    expect(transaction.entries.map((entry) => entry.accountVersion)).toEqual([2n, 3n, 4n, 1n]);
    expect(transaction.entries.map((entry) => entry.postedDebits)).toEqual([9_000n, 17_000n, 17_000n, 0n]);
    expect(balances.get(PAYABLE)).toMatchObject({ version: 4n, postedDebits: 17_000n, postedCredits: 17_000n });
    expect(book.available(PAYABLE)).toBe(0n);
  });

  it('balances each currency by itself and counts the amount in the first entry’s', () => {
    const usd = { currency: 'USD' };
    const { transaction } = book.accept(
      post(debit(CASH_USD, 70n, usd), debit(CASH, 50n), credit(FEES_USD, 70n, usd), credit(FEES, 50n)),
    );
    expect(transaction).toMatchObject({ amount: 70n, currency: 'USD' });
    expect([book.posted(CASH), book.posted(CASH_USD)]).toEqual([50n, 70n]);
  });

  it.each([
    ['a posting', post, 'posted'],
    ['a hold', hold, 'pending'],
  ] as const)('%s takes the largest amount, and fills both sides of accounts to the largest total', (_, move, kind) => {
    book.accept(move(debit(CASH, MAX_AMOUNT), credit(FEES, MAX_AMOUNT)));
    book.open(book.account(CASH) as Account, { [`${kind}Debits`]: MAX_TOTAL - MAX_AMOUNT });
    book.open(book.account(FEES) as Account, { [`${kind}Credits`]: MAX_TOTAL - MAX_AMOUNT });
    book.accept(move(debit(CASH, MAX_AMOUNT), credit(FEES, MAX_AMOUNT)));
    expect(book.balance(CASH)?.[`${kind}Debits`]).toBe(MAX_TOTAL);
    expect(book.balance(FEES)?.[`${kind}Credits`]).toBe(MAX_TOTAL);
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
    book.fund(100n);
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
    book.add(7n, 'overdraft:EUR', 'credit', -50n);
    book.accept(post(debit(7n, 50n), credit(FEES, 50n)));
    expect(book.refusal(post(debit(7n, 1n), credit(FEES, 1n))).code).toBe('insufficient_funds');
  });

  it('may lie above zero', () => {
    book.add(7n, 'reserve:EUR', 'credit', 50n);
    book.accept(post(debit(CASH, 60n), credit(7n, 60n)));
    expect(book.refusal(post(debit(7n, 11n), credit(FEES, 11n))).detail).toContain(
      'would be 49, below its floor of 50',
    );
  });

  it('binds whoever lowers the balance, not who raises it from below', () => {
    book.open(book.account(PAYABLE) as Account, { postedDebits: 100n });
    book.accept(post(debit(CASH, 10n), credit(PAYABLE, 10n)));
    expect(book.available(PAYABLE)).toBe(-90n);
    expect(book.refusal(post(debit(PAYABLE, 1n), credit(CASH, 1n))).code).toBe('insufficient_funds');
  });

  it('does not bind a transaction that leaves the balance below it where it was', () => {
    book.open(book.account(PAYABLE) as Account, { postedDebits: 100n });
    book.accept(post(debit(PAYABLE, 5n), credit(PAYABLE, 5n)));
    expect(book.available(PAYABLE)).toBe(-100n);
  });

  it('counts what is held as spent, but not what is announced', () => {
    book.fund(100n);
    book.holdOf(60n);
    book.accept(hold(debit(CASH, 500n), credit(PAYABLE, 500n)));
    expect(book.available(PAYABLE)).toBe(40n);
    expect(book.refusal(post(debit(PAYABLE, 41n), credit(FEES, 41n))).code).toBe('insufficient_funds');
    expect(book.refusal(hold(debit(PAYABLE, 41n), credit(FEES, 41n))).code).toBe('insufficient_funds');
    book.holdOf(40n);
    expect(book.available(PAYABLE)).toBe(0n);
  });

  it('binds reversals', () => {
    const id = book.fund(100n);
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
    book.fund(100n);
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
    book.fund(100n);
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
  it('is refused when its time is over, to the millisecond', () => {
    const command = { ...hold(debit(CASH, 1n), credit(FEES, 1n)), expiresAtMs: START_MS };
    expect(told(book.refusal(command))).toEqual([
      'validation_failed',
      'expires_at',
      'expires_at: must lie in the future',
    ]);
    expect(book.accept({ ...command, expiresAtMs: START_MS + 1 }).transaction.expiresAtMs).toBe(START_MS + 1);
  });

  it('moves pending totals only, and starts pending with all of it remaining', () => {
    book.fund(100n);
    const command = { ...hold(debit(PAYABLE, 60n), credit(FEES, 60n)), expiresAtMs: START_MS + 1_000 };
    const { transaction, state } = book.accept(command);
    expect(transaction).toMatchObject({ kind: 'pending', amount: 60n, currency: 'EUR', expiresAtMs: START_MS + 1_000 });
    expect(state).toMatchObject({
      transactionId: transaction.id,
      expiresAtMs: START_MS + 1_000,
      value: { status: 'pending', remaining: 60n, reversed: 0n },
    });
    expect([book.posted(PAYABLE), book.available(PAYABLE), book.posted(FEES), book.available(FEES)]).toEqual([
      100n,
      40n,
      0n,
      0n,
    ]);
  });

  it('is posted whole by a capture without an amount, whatever `final` says', () => {
    for (const final of [true, false]) {
      book.fund(60n);
      const before = book.posted(FEES);
      const parentId = book.holdOf(60n);
      const { transaction, state } = book.accept({ kind: 'capture', parentId, final });
      expect(transaction).toMatchObject({ kind: 'capture', type: 'transfer', amount: 60n, parentId });
      expect(state?.value).toMatchObject({ status: 'posted', remaining: 0n, reversed: 0n });
      expect(book.posted(FEES)).toBe(before + 60n);
      expect(book.balance(FEES)?.pendingCredits).toBe(0n);
    }
  });

  it('is posted in parts up to its total while `final` is false', () => {
    book.fund(100n);
    const parentId = book.holdOf(100n);
    const parts = [30n, 50n, 20n].map((amount) => book.accept({ kind: 'capture', parentId, amount, final: false }));
    expect(parts.map((part) => part.state?.value)).toMatchObject([
      { status: 'partially_posted', remaining: 70n, reversed: 0n },
      { status: 'partially_posted', remaining: 20n, reversed: 0n },
      { status: 'posted', remaining: 0n, reversed: 0n },
    ]);
    expect(parts.map((part) => part.transaction.entries[0]?.pending)).toEqual([-30n, -50n, -20n]);
    expect([book.posted(FEES), book.available(PAYABLE)]).toEqual([100n, 0n]);
  });

  it('releases the rest with a final capture in part', () => {
    book.fund(100n);
    const parentId = book.holdOf(100n);
    const { transaction, state } = book.accept({ kind: 'capture', parentId, amount: 30n, final: true });
    expect(transaction.amount).toBe(30n);
    expect(transaction.entries.map(({ posted, pending }) => [posted, pending])).toEqual([
      [30n, -100n],
      [30n, -100n],
    ]);
    expect(state?.value).toMatchObject({ status: 'posted', remaining: 0n, reversed: 0n });
    expect([book.posted(FEES), book.available(PAYABLE)]).toEqual([30n, 70n]);
    expect(told(book.refusal({ kind: 'capture', parentId, amount: 1n, final: true }))[0]).toBe('not_pending');
  });

  it('second capture beyond what remains is refused', () => {
    book.fund(100n);
    const parentId = book.holdOf(100n);
    book.accept({ kind: 'capture', parentId, amount: 60n, final: false });
    expect(told(book.refusal({ kind: 'capture', parentId, amount: 41n, final: false }))).toEqual([
      'amount_exceeds_remaining',
      undefined,
      `41 exceeds the 40 that transaction ${parentId} still holds.`,
    ]);
    book.accept({ kind: 'capture', parentId, amount: 40n, final: false });
  });

  it('a capture without an amount after one in part posts what remains', () => {
    book.fund(100n);
    const parentId = book.holdOf(100n);
    book.accept({ kind: 'capture', parentId, amount: 60n, final: false });
    expect(book.accept({ kind: 'capture', parentId, final: false }).transaction.amount).toBe(40n);
  });

  it('of several amounts is posted and voided whole, never in part', () => {
    book.fund(100n);
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
    expect([book.posted(PAYABLE), book.posted(FEES), book.posted(CASH_USD)]).toEqual([40n, 50n, 7n]);
    expect([book.posted(CASH), book.available(PAYABLE), book.available(CASH)]).toEqual([90n, 40n, 90n]);

    const second = book.accept(hold(debit(CASH, 60n), credit(FEES, 50n), credit(PAYABLE, 10n))).transaction.id;
    const { transaction } = book.accept({ kind: 'void', parentId: second });
    expect(transaction.entries.map(({ posted, pending }) => [posted, pending])).toEqual([
      [0n, -60n],
      [0n, -50n],
      [0n, -10n],
    ]);
  });

  it('capture below a floor goes through: the money was set aside already', () => {
    book.fund(100n);
    const parentId = book.holdOf(100n);
    book.open(book.account(PAYABLE) as Account, { ...book.balance(PAYABLE), postedDebits: 500n });
    book.accept({ kind: 'capture', parentId, amount: 40n, final: false });
    book.accept({ kind: 'capture', parentId, final: true });
  });

  it('is voided with what remains', () => {
    book.fund(100n);
    const parentId = book.holdOf(100n);
    book.accept({ kind: 'capture', parentId, amount: 60n, final: false });
    const { transaction, state } = book.accept({ kind: 'void', parentId });
    expect(transaction).toMatchObject({ kind: 'void', type: 'void', amount: 40n, parentId });
    expect(state?.value).toMatchObject({ status: 'voided', remaining: 0n, reversed: 0n });
    expect([book.posted(FEES), book.available(PAYABLE), book.balance(PAYABLE)?.pendingDebits]).toEqual([60n, 40n, 0n]);
  });

  it.each([
    ['posted', { kind: 'capture', final: true }],
    ['voided', { kind: 'void' }],
  ] as const)('once %s neither captures nor voids nor expires', (status, end) => {
    book.fund(100n);
    const parentId = book.holdOf(100n, { expiresAtMs: START_MS + 10 });
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
    const parentId = book.fund(100n);
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

describe('closing an account', () => {
  it('marks it closed and posts nothing', () => {
    const decision = book.accept({ kind: 'close', accountId: FEES });
    expect(decision.transaction).toBeUndefined();
    expect(decision.state).toBeUndefined();
    expect(book.balance(FEES)).toMatchObject({ closed: true, version: 0n });
  });

  it('whose money came and went is possible', () => {
    const parentId = book.fund(100n);
    book.accept({ kind: 'reverse', parentId });
    book.accept({ kind: 'close', accountId: PAYABLE });
    expect(book.balance(PAYABLE)).toMatchObject({ closed: true, version: 2n, postedDebits: 100n, postedCredits: 100n });
  });

  it('with a balance is refused', () => {
    book.fund(100n);
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
    expect(book.posted(FEES)).toBe(5n);
  });

  it('of an unknown account is refused', () => {
    expect(book.refusal({ kind: 'reopen', accountId: UNKNOWN }).code).toBe('not_found');
  });
});
