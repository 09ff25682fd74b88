import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PAYOUT_CHECKS } from '#payouts/checks.js';
import { verify } from '#platform/verify.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { RULE, TestSettlement } from './support/settlement.js';
import { TestPayouts } from './support/test-payouts.js';
import { expectVerified, offendersOf } from './support/verified.js';

const WHOLE = /^every payout has on its accounts/;
const TAKEN = /^what is paid out in a currency/;
const NAMED = /^every transaction that names a payout/;
const DUE = /^every payout on its way is due/;

const IS = (status: string): string => `(SELECT id FROM payouts WHERE status = '${status}')`;
const POSTED = (type: string): string => `(SELECT min(id) FROM transactions WHERE type = 'payout.${type}')`;

/** What somebody with a superuser's rights did, the check that must tell it, and the status of the payout that it must name. */
const CORRUPTIONS = [
  ...(
    [
      ['another status', `UPDATE payouts SET status = 'failed' WHERE id = ${IS('paid')}`],
      ['another amount', `UPDATE payouts SET amount = amount + 1 WHERE id = ${IS('paid')}`],
      ['another fee', `UPDATE payouts SET fee = fee + 1 WHERE id = ${IS('paid')}`],
      ['a timeline that ends before', `UPDATE payouts SET timeline = '[]' WHERE id = ${IS('paid')}`],
      ['an item of another fee', `UPDATE payable_items SET fee = fee + 1 WHERE subject_id = ${IS('paid')}`],
      ['no item', `DELETE FROM payable_items WHERE subject_id = ${IS('paid')}`],
      ['a forgotten transaction', `UPDATE payouts SET transactions = '{}' WHERE id = ${IS('paid')}`],
      [
        'an entry of another amount',
        `UPDATE entries SET posted_amount = posted_amount + 1 WHERE transaction_id = ${POSTED('paid')}`,
      ],
    ] as const
  ).map(([title, sql]) => ({ title, sql, check: WHOLE, names: 'paid' })),
  { title: 'less that is paid out', sql: 'UPDATE settled_balances SET paid_out = paid_out - 1', check: TAKEN },
  {
    title: 'nothing that was ever paid out',
    sql: 'DELETE FROM settled_balances',
    check: TAKEN,
  },
  {
    title: 'a transaction that two payouts name',
    sql: `UPDATE payouts SET transactions = transactions || ${POSTED('paid')} WHERE id = ${IS('reserved')}`,
    check: NAMED,
    names: 'reserved',
  },
  {
    title: 'a transaction that its payout does not know',
    sql: `UPDATE payouts SET transactions = '{}' WHERE id = ${IS('returned')}`,
    check: NAMED,
    names: 'returned',
  },
  {
    title: 'a transaction that is of no payout',
    sql: `UPDATE transactions SET metadata = NULL WHERE id = ${POSTED('paid')}`,
    check: NAMED,
    names: 'paid',
  },
  ...(['reserved', 'instructed'] as const).map((status) => ({
    title: `one that is ${status} and never due`,
    sql: `DELETE FROM due_rows WHERE subject_id = ${IS(status)}`,
    check: DUE,
    names: status,
  })),
];

/** One of each status, of a merchant that is charged for them; and another merchant's. */
async function writePayouts(on: TestDatabase): Promise<void> {
  const settlement = await TestSettlement.open(on);
  const payouts = await TestPayouts.of(settlement.ledger);
  const merchant = await settlement.createMerchant();
  await settlement.charge(merchant, [{ ...RULE, appliesTo: 'payout', fixed: 25n }]);
  const [day, noonMs] = ['2026-01-05', Date.UTC(2026, 0, 5, 12)];
  await settlement.happen(merchant, { kind: 'other', amount: 1_000n, atMs: noonMs });
  await settlement.settle([merchant], day);
  const words = {
    reserved: [],
    instructed: ['accepted'],
    paid: ['paid'],
    failed: ['failed'],
    returned: ['returned'],
  } as const;
  for (const [index, said] of Object.values(words).entries()) {
    const id = await payouts.request(merchant, 100n + BigInt(index));
    for (const word of said) await payouts.tell(merchant, id, word, 1);
  }
  await settlement.close();
}

describe('verify, of payouts', () => {
  let clean: TestDatabase;

  beforeAll(async () => {
    clean = await freshDatabase();
    await writePayouts(clean);
  });
  afterAll(() => clean.drop());

  test('clean ones pass, and each check looks at some', async () => {
    await expectVerified(clean);
    const results = await verify(clean.runtimeUrl, PAYOUT_CHECKS);
    expect(results.filter(({ counted }) => counted === 0n)).toEqual([]);
  });

  test.each(CORRUPTIONS)('$title is found by $check and named', async (corruption) => {
    const corrupted = await freshDatabase(clean);
    try {
      const named = 'names' in corruption ? corruption.names : undefined;
      const ids = await asAdmin(corrupted.ownerUrl, async (admin) => {
        const { rows } = await admin.query('SELECT id::text FROM payouts WHERE status = $1', [named]);
        await admin.query(`SET session_replication_role = replica; ${corruption.sql}`);
        return rows.map(({ id }) => id as string);
      });
      const offenders = offendersOf(await verify(corrupted.runtimeUrl, PAYOUT_CHECKS));
      const found = Object.entries(offenders)
        .find(([check]) => corruption.check.test(check))?.[1]
        .join('\n');
      expect(found, `checks that found something: ${JSON.stringify(offenders)}`).toBeDefined();
      if (named) expect(ids.some((id) => found?.includes(id))).toBe(true);
    } finally {
      await corrupted.drop();
    }
  });
});
