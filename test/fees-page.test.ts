import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { feeOf } from '#fees/fee.js';
import type { FeeSubject } from '#fees/fee-plan.js';
import { createFeePlan, newVersion } from '../apps/api/src/fees/schemas.js';
import { asAdmin, freshDatabase } from './support/database.js';
import { TestSettlement } from './support/settlement.js';

/** docs/fees.md: its plan is one that can be made, and its items cost what it says. */

const PAGE = readFileSync(new URL('../docs/fees.md', import.meta.url), 'utf8');
const [, plan = ''] = /```json\n([\s\S]*?)\n```/.exec(PAGE) ?? [];
const { rules, refundReturnsFee } = newVersion(createFeePlan.parse(JSON.parse(plan)));

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

test('refunds of all of a payment give back what it says, to the last minor unit', async () => {
  const refunds = rowsOf('refund').map(([amount = '', , , fee = '']) => ({
    amount: BigInt(amount),
    fee: fee.split(' = ')[1]?.replace('−', '-'),
  }));
  const on = await freshDatabase();
  const settlement = await TestSettlement.open(on);
  try {
    const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    const atMs = Date.parse(`${yesterday}T12:00:00Z`);
    const merchantId = await settlement.createMerchant({ createdAtMs: atMs });
    await settlement.charge(merchantId, rules, refundReturnsFee);
    const of = { subject: 1n, atMs };
    const taken = refunds.map(({ amount }) => ({ ...of, kind: 'refund' as const, amount: -amount }));
    await settlement.happen(merchantId, { ...of, kind: 'payment', amount: 10_000n }, ...taken);
    expect(await settlement.settle([merchantId], yesterday)).toEqual([{ merchantId, outcome: 'settled' }]);
    const text = `SELECT fee FROM settlement_lines WHERE merchant_id = $1 AND kind <> 'fees' ORDER BY account_version`;
    const { rows } = await asAdmin(on.ownerUrl, (owner) => owner.query(text, [merchantId]));
    expect(rows.map(({ fee }) => fee)).toEqual(['165', ...refunds.map(({ fee }) => fee)]);
  } finally {
    await settlement.close();
    await on.drop();
  }
});
