import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type BankWord, entriesBetween, PAYOUT_ACCOUNTS, type PayoutStatus, positionOf, transition } from './status.js';

const WORDS: readonly BankWord[] = ['refused', 'accepted', 'paid', 'failed', 'returned'];
const MONEY = { amount: 900n, fee: 25n };

/** Where each word leaves a payout, column by column as WORDS has them. */
const ENDS: Record<PayoutStatus, PayoutStatus[]> = {
  requested: ['requested', 'requested', 'requested', 'requested', 'requested'],
  reserved: ['failed', 'instructed', 'paid', 'failed', 'returned'],
  instructed: ['instructed', 'instructed', 'paid', 'failed', 'returned'],
  paid: ['paid', 'paid', 'paid', 'failed', 'returned'],
  failed: ['failed', 'failed', 'paid', 'failed', 'returned'],
  returned: ['returned', 'returned', 'paid', 'returned', 'returned'],
};
const STATUSES = Object.keys(ENDS) as PayoutStatus[];
const TABLE = STATUSES.flatMap((status) =>
  WORDS.map((word, index) => ({ status, word, end: ENDS[status][index] as PayoutStatus })),
);

describe('what the bank says of a payout', () => {
  test.each(TABLE)('that is $status: $word leaves it $end', ({ status, word, end }) => {
    expect([status, ...transition(status, word)].at(-1)).toBe(end);
  });

  test.each(TABLE)('twice is said once: $word of one that is $status', ({ status, word, end }) => {
    expect(transition(end, word).filter((step) => step !== end)).toEqual([]);
    expect([status, ...transition(status, word)].at(-1)).toBe(end);
    if (status !== 'requested') expect(transition(end, word)).toEqual([]);
  });

  test('a payout comes back by way of paid, so that both are posted', () => {
    for (const status of ['reserved', 'instructed', 'failed'] as const) {
      expect(transition(status, 'returned').slice(-2)).toEqual(['paid', 'returned']);
    }
  });
});

test('docs/payouts.md has this table', () => {
  const page = readFileSync(new URL('../../../docs/payouts.md', import.meta.url), 'utf8');
  const cells = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', ''));
  const lines = page.split('\n');
  const head = lines.findIndex((line) => line.startsWith('| | refused |'));
  expect(cells(lines[head] as string).slice(1)).toEqual(WORDS);
  const rows = STATUSES.filter((status) => status !== 'requested');
  expect(lines.slice(head + 2, head + 2 + rows.length).map(cells)).toEqual(
    rows.map((status) => [status, ...ENDS[status].map((end) => (end === status ? '' : end))]),
  );
});

describe('the position of a payout', () => {
  test.each(STATUSES)('that is %s comes to zero, and takes from the merchant what is paid out', (status) => {
    const position = positionOf(status, MONEY);
    expect(PAYOUT_ACCOUNTS.reduce((sum, account) => sum + position[account], 0n)).toBe(0n);
    expect(position.merchant_payable).toBe(position.paidOut);
  });

  test('is by status alone: reserved before it is instructed, cash once it is paid, nothing where it is not', () => {
    const shown = (status: PayoutStatus) => {
      const { merchant_payable, payout_clearing, cash, fee } = positionOf(status, MONEY);
      return [merchant_payable, payout_clearing, cash, fee];
    };
    expect(Object.fromEntries(STATUSES.map((status) => [status, shown(status)]))).toEqual({
      requested: [0n, 0n, 0n, 0n],
      reserved: [900n, -900n, 0n, 25n],
      instructed: [900n, -900n, 0n, 25n],
      paid: [900n, 0n, -900n, 25n],
      failed: [0n, 0n, 0n, 0n],
      returned: [0n, 0n, 0n, 25n],
    });
  });

  test.each(TABLE)(
    'charges nothing without an entry to charge it for: $word of one that is $status',
    ({ status, word }) => {
      let from = positionOf(status, MONEY);
      for (const step of transition(status, word)) {
        const to = positionOf(step, MONEY);
        const moves = entriesBetween(from, to).some(({ account }) => account === 'merchant_payable');
        expect(moves || to.fee === from.fee).toBe(true);
        from = to;
      }
    },
  );

  test('leads to another by balanced entries', () => {
    const entries = entriesBetween(positionOf('reserved', MONEY), positionOf('paid', MONEY));
    expect(entries).toEqual([
      { account: 'payout_clearing', direction: 'debit', amount: 900n },
      { account: 'cash', direction: 'credit', amount: 900n },
    ]);
    expect(entriesBetween(positionOf('reserved', MONEY), positionOf('instructed', MONEY))).toEqual([]);
  });
});
