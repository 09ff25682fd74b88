import { beforeEach, describe, expect, it } from 'vitest';
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
} from '../../../../test/support/small-book.js';
import type { Command, Facts, Part } from './command.js';

let book: SmallBook;

beforeEach(() => {
  book = new SmallBook();
});

const part = (accountId: bigint, amount: bigint): Part => ({ accountId, amount });

describe('expiry', () => {
  it('capture at or after it is refused, a millisecond before it is not', () => {
    book.fund(100n);
    const expiresAtMs = START_MS + 1_000;
    const parentId = book.holdOf(50n, { expiresAtMs });
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
    book.fund(100n);
    const parentId = book.holdOf(50n, { expiresAtMs: START_MS + 1_000 });
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
    expect(book.available(PAYABLE)).toBe(80n);
    expect(book.refusal({ kind: 'expire', parentId }).detail).toBe(`Transaction ${parentId} is expired.`);
  });

  it('never comes for a hold without a time', () => {
    book.fund(100n);
    const parentId = book.holdOf(50n);
    book.nowMs += 1_000_000_000;
    expect(book.refusal({ kind: 'expire', parentId }).code).toBe('invalid_transition');
    book.accept({ kind: 'capture', parentId, final: true });
  });

  it('does not stand in the way of a void', () => {
    book.fund(100n);
    const parentId = book.holdOf(50n, { expiresAtMs: START_MS + 1 });
    book.nowMs += 1_000;
    book.accept({ kind: 'void', parentId });
  });
});

describe('what changes a parent', () => {
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
    const parentId = book.fund(100n);
    const { transaction, state } = book.accept({ kind: 'reverse', parentId });
    expect(transaction).toMatchObject({ kind: 'reversal', type: 'reversal', amount: 100n, parentId });
    expect(transaction.entries.map((entry) => [entry.accountId, entry.direction, entry.posted])).toEqual([
      [CASH, 'credit', 100n],
      [PAYABLE, 'debit', 100n],
    ]);
    expect(state?.value).toMatchObject({ status: 'posted', remaining: 0n, reversed: 100n });
    expect([book.posted(CASH), book.posted(PAYABLE)]).toEqual([0n, 0n]);
    expect(told(book.refusal({ kind: 'reverse', parentId }))).toEqual([
      'already_reversed',
      undefined,
      `Transaction ${parentId} has already been reversed.`,
    ]);
  });

  it('in parts never exceeds the whole', () => {
    const parentId = book.fund(100n);
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
    book.fund(100n);
    const holdId = book.holdOf(100n);
    const parentId = book.accept({ kind: 'capture', parentId: holdId, amount: 30n, final: false }).transaction.id;
    const { transaction, state } = book.accept({ kind: 'reverse', parentId });
    expect(transaction.entries.map(({ posted, pending }) => [posted, pending])).toEqual([
      [30n, 0n],
      [30n, 0n],
    ]);
    expect(state).toMatchObject({ transactionId: parentId, value: { status: 'posted', remaining: 0n, reversed: 30n } });
    expect(book.states.get(holdId)).toMatchObject({ status: 'partially_posted', remaining: 70n, reversed: 0n });
    expect([book.posted(FEES), book.available(PAYABLE)]).toEqual([0n, 30n]);
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
    expect([CASH, FEES, PAYABLE, CASH_USD, FEES_USD].map((id) => book.posted(id))).toEqual([0n, 0n, 0n, 0n, 0n]);
    expect(book.refusal({ kind: 'reverse', parentId }).code).toBe('already_reversed');
  });

  it('of two entries on one side is of several amounts', () => {
    const parentId = book.accept(post(debit(CASH, 10n), debit(CASH, 10n), credit(FEES, 20n))).transaction.id;
    expect(book.refusal({ kind: 'reverse', parentId, amount: 10n }).code).toBe('validation_failed');
    expect(book.accept({ kind: 'reverse', parentId }).transaction.amount).toBe(20n);
  });

  it('of a hold, a void or an expiry is refused: nothing was posted', () => {
    book.fund(100n);
    const held = book.holdOf(10n);
    const voided = book.accept({ kind: 'void', parentId: held }).transaction.id;
    const due = book.holdOf(10n, { expiresAtMs: START_MS + 1 });
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
    const payment = book.fund(100n);
    const refund = reverse(payment);
    const bounce = reverse(refund, 30n);
    expect([left(payment), left(refund)]).toEqual([30n, 70n]);
    const again = reverse(bounce, 20n);
    expect([left(payment), left(refund), left(bounce)]).toEqual([10n, 90n, 10n]);
    reverse(again);
    expect([left(payment), left(refund), left(bounce), left(again)]).toEqual([30n, 70n, 30n, 0n]);
  });

  it('takes no more than is left, where what came back was reversed otherwise', () => {
    const payment = book.fund(100n);
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

  it('gives back to each entry no more than was taken of it', () => {
    const parentId = book.accept(post(debit(CASH, 5n), debit(CASH, 5n), credit(FEES, 10n))).transaction.id;
    const refund = (amount: bigint) =>
      book.accept({ kind: 'reverse', parentId, entries: [part(CASH, amount), part(FEES, amount)] }).transaction.id;
    const [five, two] = [refund(5n), refund(2n)];
    expect(book.states.get(parentId)?.left).toEqual([0n, 3n, 3n]);
    reverse(five);
    expect(book.states.get(parentId)?.left).toEqual([5n, 3n, 8n]);
    reverse(two);
    expect(book.states.get(parentId)?.left).toEqual([5n, 5n, 10n]);
  });

  it('goes back twenty reversals and no more: each costs as much as all before it', () => {
    let newest = book.fund(5n);
    for (let depth = 0; depth <= 20; depth += 1) newest = reverse(newest);
    expect(book.refusal({ kind: 'reverse', parentId: newest }).code).toBe('invalid_transition');
  });
});
