import { afterAll, beforeAll, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { closeReport } from '#reconciliation/closing/close-report.js';
import type { MatchedReport } from '#reconciliation/matching/match-report.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { BANK, NOON_MS, PERIOD, type PlannedRow, TestMatching } from './support/matching.js';

/** What a stranger broke in matching and closing, and no other test saw. */

const DAY_MS = 86_400_000;

let on: TestDatabase;
let matching: TestMatching;
let merchantId: bigint;

beforeAll(async () => {
  on = await freshDatabase();
  matching = await TestMatching.open(on);
});
afterAll(async () => {
  await matching.close();
  await on.drop();
});

const within = (): Deadline => Deadline.after(30_000);

const reconcile = (rows: readonly PlannedRow[], more: Partial<MatchedReport> = {}) =>
  matching.reconcile(merchantId, rows, more);

async function kindsOf(): Promise<string[]> {
  return (await matching.breaksOf(merchantId)).map(({ line, kind, status }) => `${line ?? '-'} ${kind} ${status}`);
}

test('a bank’s reference of as many digits as an id, and larger than any, is nobody’s', async () => {
  merchantId = await matching.ledger.createMerchant();
  await reconcile([{ line: 1, type: 'payout', ref: '9999999999999999999', gross: -700 }], BANK);
  expect(await kindsOf()).toEqual(['1 missing_in_ledger open']);
});

test('what was told as settled of a batch and rejected is not of it', async () => {
  merchantId = await matching.ledger.createMerchant();
  const settlements = [{ ref: '4', amount: 1_000, fee: 30 }];
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }], settlements });
  await matching.tell(merchantId, 'adyen/P', [{ type: 'settled', ref: '4', amount: 7, fee: 0 }]);
  await asAdmin(on.ownerUrl, (admin) =>
    admin.query(
      `UPDATE payment_facts SET outcome = 'rejected', reason = 'a test' WHERE merchant_id = $1 AND amount = 7`,
      [merchantId],
    ),
  );
  await reconcile([
    { line: 2, ref: 'P', object: 'c', gross: 1_000, fee: 30, batch: '4' },
    { line: 3, type: 'payout', gross: -970, batch: '4' },
  ]);
  expect(await kindsOf()).toEqual([]);
});

test('an item has the time that its provider told, whatever was asked before', async () => {
  merchantId = await matching.ledger.createMerchant();
  await matching.pay(merchantId, { ref: 'P', captures: [{ ref: 'c', amount: 1_000 }, { amount: 1 }] });
  await matching.tell(merchantId, 'adyen/P', [{ type: 'captured', ref: 'c', amount: 1_000, day: -30 }]);
  await asAdmin(on.ownerUrl, (admin) =>
    admin.query(
      `UPDATE payment_facts SET source = 'request' WHERE merchant_id = $1 AND occurred_at < to_timestamp($2::float8 / 1000)`,
      [merchantId, NOON_MS - DAY_MS],
    ),
  );
  await reconcile([
    { line: 2, ref: 'P', object: 'c', gross: 1_000 },
    { line: 3, ref: 'P', gross: 1 },
  ]);
  expect(await kindsOf()).toEqual([]);
});

test('of a statement that stands twice in a file the last one counts', async () => {
  merchantId = await matching.ledger.createMerchant();
  const report = await matching.stage(merchantId, [], { ...BANK, ...PERIOD });
  const statement = { id: 'S', account: 'A', currency: 'EUR', opening: '0', entries: '5' };
  const statements = [
    { ...statement, closing: '4' },
    { ...statement, closing: '5' },
  ];
  await matching.write(merchantId, {
    text: 'UPDATE reconciliations SET statements = $3 WHERE merchant_id = $1 AND id = $2',
    values: [merchantId, report.id, JSON.stringify(statements)],
  });
  await closeReport(matching.matching, report, within);
  expect(await kindsOf()).toEqual([]);
});
