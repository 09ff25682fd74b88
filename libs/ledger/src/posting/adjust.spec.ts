import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_AMOUNT } from '#kernel/money.js';
import { START_MS } from '../../../../test/support/memory-book.js';
import {
  CASH,
  CASH_USD,
  FEES,
  FEES_USD,
  PAYABLE,
  SmallBook,
  told,
  UNKNOWN,
} from '../../../../test/support/small-book.js';
import type { Side } from '../accounts/account.js';
import type { Adjust, NewEntry } from './command.js';

let book: SmallBook;

beforeEach(() => {
  book = new SmallBook();
});

const line = (direction: Side, accountId: bigint, posted: bigint, pending: bigint, currency = 'EUR'): NewEntry => ({
  accountId,
  direction,
  currency,
  posted,
  pending,
});
const adjust = (...entries: NewEntry[]): Adjust => ({ kind: 'adjust', type: 'payment.captured', entries });
const authorised = (amount: bigint) => adjust(line('debit', CASH, 0n, amount), line('credit', PAYABLE, 0n, amount));

describe('an adjustment', () => {
  it('posts, holds and releases at once, and carries what is said of it', () => {
    book.accept(authorised(100n));
    const facts = { description: 'd', externalRef: 'pi_1', effectiveAtMs: START_MS - 1, metadata: '{"a":1}' };
    const { transaction, states } = book.accept({
      ...adjust(line('debit', CASH, 60n, -100n), line('credit', PAYABLE, 60n, -100n)),
      ...facts,
    });
    expect(transaction).toMatchObject({
      ...facts,
      kind: 'adjustment',
      type: 'payment.captured',
      amount: 60n,
      currency: 'EUR',
      parentId: undefined,
      ignoredFloor: false,
    });
    expect(states).toEqual([]);
    expect(book.balance(CASH)).toMatchObject({ postedDebits: 60n, pendingDebits: 0n, version: 2n });
    expect(book.balance(PAYABLE)).toMatchObject({ postedCredits: 60n, pendingCredits: 0n, version: 2n });
  });

  it('takes effect when it is recorded, where nothing else is said', () => {
    expect(book.accept(authorised(1n)).transaction.effectiveAtMs).toBe(book.nowMs);
  });

  it('goes below a floor', () => {
    book.accept(adjust(line('debit', PAYABLE, 5n, 0n), line('credit', CASH, 5n, 0n)));
    expect(book.available(PAYABLE)).toBe(-5n);
  });

  it.each([
    ['the debits posted', [line('debit', CASH, 7n, 0n), line('credit', FEES, 7n, 0n)], 7n, 'EUR'],
    [
      'the debits posted alone, where there are others',
      [line('debit', CASH, 7n, -3n), line('debit', PAYABLE, 0n, 3n), line('credit', FEES, 7n, 0n)],
      7n,
      'EUR',
    ],
    [
      'the debits posted in the first currency',
      [
        line('debit', CASH, 7n, 0n),
        line('credit', FEES, 7n, 0n),
        line('debit', CASH_USD, 4n, 0n, 'USD'),
        line('credit', FEES_USD, 4n, 0n, 'USD'),
      ],
      7n,
      'EUR',
    ],
    [
      'the debits posted in the first currency that posts',
      [
        line('debit', CASH, 0n, 9n),
        line('credit', FEES, 0n, 9n),
        line('debit', CASH_USD, 4n, 0n, 'USD'),
        line('credit', FEES_USD, 4n, 0n, 'USD'),
      ],
      4n,
      'USD',
    ],
    ['what debits held and released', [line('debit', CASH, 0n, 5n), line('debit', PAYABLE, 0n, -5n)], 10n, 'EUR'],
    [
      'what credits did, where no debit moved',
      [line('credit', CASH, 0n, 5n), line('credit', FEES, 0n, -5n)],
      10n,
      'EUR',
    ],
  ])('has the amount of %s', (_title, entries, amount, currency) => {
    const held = [CASH, PAYABLE, FEES].map((id) => line('debit', id, 0n, 20n));
    const against = [CASH, PAYABLE, FEES].map((id) => line('credit', id, 0n, 20n));
    book.accept(adjust(...held, ...against));
    expect(book.accept(adjust(...entries)).transaction).toMatchObject({ amount, currency });
  });

  it('is refused where what it posts or what is pending does not balance in a currency', () => {
    const posted = book.refusal(adjust(line('debit', CASH, 5n, 0n), line('credit', FEES, 4n, 0n)));
    expect(told(posted)).toEqual([
      'unbalanced_entries',
      'entries',
      'entries: the debits in EUR are 1 more than the other side.',
    ]);
    const pending = book.refusal(adjust(line('debit', CASH, 5n, -2n), line('credit', FEES, 5n, 0n)));
    expect(told(pending)).toEqual([
      'unbalanced_entries',
      'entries',
      'entries: the pending credits in EUR are 2 more than the other side.',
    ]);
    const more = book.refusal(adjust(line('debit', CASH, 5n, 0n), line('credit', FEES, 5n, -2n)));
    expect(more.detail).toBe('entries: the pending debits in EUR are 2 more than the other side.');
    const mixed = adjust(line('debit', CASH, 5n, 0n), line('credit', FEES_USD, 5n, 0n, 'USD'));
    expect(book.refusal(mixed).code).toBe('unbalanced_entries');
  });

  it('is refused on accounts and with amounts that a posting is refused with', () => {
    const both = (id: bigint, posted: bigint, pending: bigint, currency = 'EUR') =>
      adjust(line('debit', id, posted, pending, currency), line('credit', FEES, posted, pending, currency));
    expect(book.refusal(both(UNKNOWN, 1n, 0n)).code).toBe('not_found');
    expect(book.refusal(both(CASH_USD, 1n, 0n)).code).toBe('currency_mismatch');
    expect(book.refusal(both(CASH, MAX_AMOUNT + 1n, 0n)).code).toBe('amount_out_of_range');
    expect(book.refusal(both(CASH, 0n, MAX_AMOUNT + 1n)).code).toBe('amount_out_of_range');
    expect(book.refusal(both(CASH, 0n, -MAX_AMOUNT - 1n)).code).toBe('amount_out_of_range');
    book.accept({ kind: 'close', accountId: CASH });
    expect(book.refusal(both(CASH, 1n, 0n)).code).toBe('account_closed');
  });

  it.each([
    [
      'releases more than is held',
      adjust(line('debit', CASH, 0n, -11n), line('credit', PAYABLE, 0n, -11n)),
      /releases more than is held on account 1/,
    ],
    [
      'releases on the other side',
      adjust(
        line('debit', CASH, 0n, -1n),
        line('debit', FEES, 0n, 1n),
        line('credit', CASH, 0n, -1n),
        line('credit', FEES, 0n, 1n),
      ),
      /releases more than is held on account 1/,
    ],
    [
      'posts less than nothing',
      adjust(line('debit', CASH, -1n, 0n), line('credit', PAYABLE, -1n, 0n)),
      /entries.0 of an adjustment posts -1/,
    ],
    [
      'moves nothing in a line',
      adjust(line('debit', CASH, 1n, 0n), line('credit', PAYABLE, 1n, 0n), line('debit', FEES, 0n, 0n)),
      /entries.2 of an adjustment moves nothing/,
    ],
    ['has no entries', adjust(), /an adjustment of 0 entries/],
    [
      'has too many',
      adjust(...Array.from({ length: 101 }, () => line('debit', CASH, 1n, 0n))),
      /an adjustment of 101 entries/,
    ],
  ])('that %s is a mistake of whoever asks, and thrown', (_title, command, message) => {
    book.accept(authorised(10n));
    expect(() => book.consider(command)).toThrow(message);
  });

  it('has at most a hundred entries', () => {
    const fifty = Array.from({ length: 50 }, () => [line('debit', CASH, 1n, 0n), line('credit', FEES, 1n, 0n)]).flat();
    expect(book.accept(adjust(...fifty)).transaction).toMatchObject({ amount: 50n });
  });

  it('may release before it holds: the totals count that its last entry leaves', () => {
    book.accept(authorised(10n));
    book.accept(adjust(line('debit', CASH, 0n, -15n), line('debit', CASH, 0n, 5n), line('credit', PAYABLE, 0n, -10n)));
    expect(book.balance(CASH)).toMatchObject({ pendingDebits: 0n });
  });

  it.each(['capture', 'void', 'expire', 'reverse'] as const)('is not there for a %s', (kind) => {
    const parentId = book.accept(authorised(10n)).transaction.id;
    const command = kind === 'capture' ? { kind, parentId, final: true } : { kind, parentId };
    expect(told(book.refusal(command))).toEqual([
      'invalid_transition',
      undefined,
      expect.stringMatching(`^Transaction ${parentId} \\(.+\\) belongs to a payment, a settlement or a payout`),
    ]);
  });
});
