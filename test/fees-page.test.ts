import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { feeOf } from '#fees/fee.js';
import type { FeeSubject } from '#fees/fee-plan.js';
import { createFeePlan, newVersion } from '../apps/api/src/fees/schemas.js';

/** docs/fees.md: its plan is one that can be made, and its items cost what it says. */

const PAGE = readFileSync(new URL('../docs/fees.md', import.meta.url), 'utf8');
const [, plan = ''] = /```json\n([\s\S]*?)\n```/.exec(PAGE) ?? [];
const { rules } = newVersion(createFeePlan.parse(JSON.parse(plan)));

/** The rows of the table whose first heading is this. */
function rowsOf(heading: string): string[][] {
  const [, rows = ''] = PAGE.split(new RegExp(`\\n\\| ${heading} \\|.*\\n\\|[-|]+\\n`));
  const lines = rows.split('\n\n')[0]?.split('\n') ?? [];
  return lines.map((line) => line.slice(2, -2).split(' | '));
}

const ITEMS = rowsOf('item').map(([item = '', amount = '', volume = '', fee = '']) => ({ item, amount, volume, fee }));

test('the table has items of every kind', () => {
  expect(new Set(ITEMS.map(({ item }) => item.split(' ')[0]))).toEqual(
    new Set(['payment', 'refund', 'dispute', 'payout']),
  );
});

test.each(ITEMS)('a $item of $amount costs $fee after $volume', ({ item, amount, volume, fee }) => {
  const [appliesTo, currency = ''] = item.split(' ') as [FeeSubject, string];
  const charged = feeOf(rules, { appliesTo, currency, amount: BigInt(amount), volumeBefore: BigInt(volume) });
  expect(charged.fee).toBe(BigInt(fee));
});
