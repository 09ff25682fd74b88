import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { migrate } from '#db/migrate.js';
import { FillPayableItems1764715000001, NetItems1764715000000 } from '#db/migrations/1764715000000-payable-items.js';
import { PAYMENT_CHECKS } from '#payments/checks.js';
import type { Fact } from '#payments/facts.js';
import { verify } from '#platform/verify.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { factOf, TestPayments } from './support/payments.js';
import { expectVerified, offendersOf } from './support/verified.js';

/** What payments post on merchant_payable is told apart, entry by entry: a settlement asks for each what it is of. */

let on: TestDatabase;
let ledger: TestLedger;
let payments: TestPayments;
let merchant: bigint;

beforeEach(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  payments = new TestPayments(ledger);
  merchant = await payments.createMerchant();
});
afterEach(async () => {
  await ledger.close();
  await on.drop();
});

const AUTHORISED = factOf('authorised');
const CAPTURED = factOf('captured', { objectRef: 'c' });
const REFUNDED = factOf('refunded', { objectRef: 'r', amount: 300n });
const DISPUTED = factOf('dispute_opened', { objectRef: 'd', amount: 200n, stage: 'chargeback' });
const FEE = factOf('dispute_fee', { objectRef: 'd', fee: 15n });

/** Each entry on merchant_payable as `<what it adds to what is owed>[(<what it holds>)] <kind of its item> <reference of its payment>`. */
async function onPayable(): Promise<string[]> {
  const { rows } = await asAdmin(on.ownerUrl, (admin) =>
    admin.query<{ line: string }>(
      `SELECT -e.direction * e.posted_amount || CASE e.pending_amount WHEN 0 THEN '' ELSE '(' || -e.direction * e.pending_amount || ')' END
              || coalesce(' ' || i.kind || coalesce(' ' || p.provider_ref, ''), '') AS line
         FROM entries e JOIN accounts a ON a.merchant_id = e.merchant_id AND a.id = e.account_id AND a.code LIKE 'merchant_payable:%'
         LEFT JOIN payable_items i ON i.merchant_id = e.merchant_id AND i.account_id = e.account_id AND i.account_version = e.account_version
         LEFT JOIN payments p ON p.merchant_id = e.merchant_id AND p.id = i.subject_id
        WHERE e.merchant_id = $1 ORDER BY a.code, e.account_version`,
      [merchant],
    ),
  );
  return rows.map(({ line }) => line);
}

const tell = (ref: string, ...facts: Fact[]) => payments.tell(merchant, ref, ...facts);

describe('an entry on merchant_payable', () => {
  afterEach(async () => {
    await expectVerified(on);
  });

  test('is of a payment, a refund or a dispute of the payment whose fact moved it', async () => {
    for (const fact of [AUTHORISED, CAPTURED, REFUNDED, DISPUTED, FEE]) await tell('p', fact);
    await tell('p', factOf('dispute_won', { objectRef: 'd' }), factOf('refund_failed', { objectRef: 'r' }));
    await tell('q', factOf('captured', { sequence: 1 }));
    expect(await onPayable()).toEqual([
      '0(1000)',
      '1000(-1000) payment p',
      '-300 refund p',
      '-200 dispute p',
      '-15 dispute p',
      '200 dispute p',
      '300 refund p',
      '1000 payment q',
    ]);
  });

  test('is one for each kind that a fact frees, also where they come to nothing', async () => {
    await tell('p', REFUNDED, FEE, DISPUTED, CAPTURED);
    await tell('p', AUTHORISED);
    await tell('q', factOf('refunded'), CAPTURED);
    await tell('q', AUTHORISED);
    expect(await onPayable()).toEqual([
      '1000 payment p',
      '-300 refund p',
      '-215 dispute p',
      '1000 payment q',
      '-1000 refund q',
    ]);
  });

  test('has no item where it was posted by hand, whatever the type says, nor where its posting is refused', async () => {
    const [receivable, payable] = (await payments.accountIds(merchant)).slice(0, 2) as [bigint, bigint];
    await ledger.post(merchant, transfer(receivable, payable, 7n, { type: 'payment.refunded' }));
    const ref = randomUUID();
    await payments.open(merchant, { providerRef: ref });
    await expect(payments.open(merchant, { providerRef: ref })).rejects.toThrow('was opened with this provider_ref');
    expect(await onPayable()).toEqual(['7', '0(1000)']);
  });
});

/** As it was before: what a transaction posted on merchant_payable was one entry. Here of a payment whose kinds come to 700. */
const BEFORE = `
SET session_replication_role = replica;
CREATE TEMPORARY TABLE split AS
  SELECT e.account_id, min(e.account_version) AS first FROM entries e JOIN payable_items i USING (merchant_id, account_id, account_version)
   GROUP BY e.account_id, e.transaction_id HAVING count(*) > 1;
UPDATE entries e SET posted_amount = 700 FROM split s WHERE e.account_id = s.account_id AND e.account_version = s.first;
DELETE FROM entries e USING split s WHERE e.account_id = s.account_id AND e.account_version = s.first + 1;
DELETE FROM payable_items;
ALTER TABLE payable_items DROP COLUMN net`;

test('payments of before kinds had entries of their own get the items that their transactions’ types tell', async () => {
  for (const fact of [AUTHORISED, CAPTURED, REFUNDED, DISPUTED, FEE]) await tell('p', fact);
  await tell('q', REFUNDED, CAPTURED);
  await tell('q', AUTHORISED);
  const [receivable, payable] = (await payments.accountIds(merchant)).slice(0, 2) as [bigint, bigint];
  await ledger.post(merchant, transfer(receivable, payable, 7n, { type: 'payment.refunded' }));
  const migrations = [NetItems1764715000000.name, FillPayableItems1764715000001.name];
  const forget = 'DELETE FROM schema_migrations WHERE name = ANY ($1)';
  await asAdmin(on.ownerUrl, async (admin) => {
    await admin.query(BEFORE);
    await admin.query(forget, [migrations]);
  });
  // Killed before it was written down, the second is run again.
  for (const due of [migrations, migrations.slice(1)]) {
    expect(await migrate(on.ownerUrl)).toEqual(due);
    expect(await onPayable()).toEqual([
      '0(1000)',
      '1000(-1000) payment p',
      '-300 refund p',
      '-200 dispute p',
      '-15 dispute p',
      '700 payment q',
      '7',
    ]);
    expect(offendersOf(await verify(on.runtimeUrl, PAYMENT_CHECKS))).toEqual({});
    await asAdmin(on.ownerUrl, (admin) => admin.query(forget, [migrations.slice(1)]));
  }
});
