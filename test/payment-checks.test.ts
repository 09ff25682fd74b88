import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PAYMENT_CHECKS } from '#payments/checks.js';
import { verify } from '#platform/verify.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';
import { factOf, TestPayments } from './support/payments.js';
import { expectVerified, offendersOf } from './support/verified.js';

const OF = (ref: string): string => `(SELECT id FROM payments WHERE provider_ref = '${ref}')`;
const WHOLE = /^every payment is what its facts say/;
const ADDS_UP = /^what payments show adds up/;
const NAMED = /^every transaction that names a payment/;
const FACTS = /^facts without a payment wait/;
const ITEMS = /^every entry of a payment on merchant_payable has its item/;
const KINDS = /^the items of every payment come to/;

/** What somebody with a superuser's rights did, the check that must tell it, and the payment that it must name. */
const CORRUPTIONS = [
  {
    title: 'another status',
    sql: `UPDATE payments SET status = 'voided' WHERE id = ${OF('held')}`,
    check: WHOLE,
    names: 'held',
  },
  ...['captured', 'refunded', 'disputed', 'capturable', 'settled'].flatMap((amount) =>
    [WHOLE, ADDS_UP].map((check) => ({
      title: `another amount ${amount}`,
      sql: `UPDATE payments SET amount_${amount} = amount_${amount} + 1 WHERE id = ${OF('whole')}`,
      check,
      names: 'whole',
    })),
  ),
  {
    title: 'a payment that forgot a capture',
    sql: `UPDATE payments SET parts = (parts::jsonb || '{"captures":[]}')::json`,
    check: ADDS_UP,
    names: 'whole',
  },
  {
    title: 'a payment that forgot a finding',
    sql: `UPDATE payments SET parts = (parts::jsonb || '{"findings":[]}')::json`,
    check: WHOLE,
    names: 'doubted',
  },
  {
    title: 'a fact of another amount',
    sql: `UPDATE payment_facts SET amount = amount + 1 WHERE subject = 'acme/whole' AND type = 'captured'`,
    check: WHOLE,
    names: 'whole',
  },
  {
    title: 'a fact that is gone',
    sql: `DELETE FROM payment_facts WHERE subject = 'acme/whole' AND type = 'refunded'`,
    check: WHOLE,
    names: 'whole',
  },
  {
    title: 'no fact at all',
    sql: `DELETE FROM payment_facts WHERE subject = 'acme/held'`,
    check: WHOLE,
    names: 'held',
  },
  {
    title: 'a fact that waits and should not',
    sql: `UPDATE payment_facts SET outcome = 'parked' WHERE type = 'captured'`,
    check: WHOLE,
    names: 'whole',
  },
  {
    title: 'a fact that should wait',
    sql: `UPDATE payment_facts SET outcome = 'applied' WHERE subject = 'acme/held' AND outcome = 'parked'`,
    check: WHOLE,
    names: 'held',
  },
  {
    title: 'a transaction of another payment’s',
    sql: `UPDATE payments SET transactions = transactions || (SELECT transactions FROM payments WHERE id = ${OF('held')}) WHERE id = ${OF('whole')}`,
    check: NAMED,
    names: 'whole',
  },
  {
    title: 'a transaction that its payment does not know',
    sql: `UPDATE payments SET transactions = '{}' WHERE id = ${OF('held')}`,
    check: NAMED,
    names: 'held',
  },
  {
    title: 'a transaction that is not there',
    sql: `UPDATE payments SET transactions = transactions || 7::bigint WHERE id = ${OF('held')}`,
    check: NAMED,
    names: 'held',
  },
  {
    title: 'a transaction that lost its payment',
    sql: `UPDATE transactions SET metadata = NULL WHERE id = (SELECT transactions[1] FROM payments WHERE id = ${OF('held')})`,
    check: NAMED,
    names: 'held',
  },
  {
    title: 'an adjustment that no fact made',
    sql: `INSERT INTO transactions SELECT (json_populate_record(t, json_build_object('id', id + 1, 'metadata', NULL))).*
            FROM transactions t WHERE type = 'payment.captured' LIMIT 1`,
    check: NAMED,
  },
  { title: 'a payment that is gone', sql: `DELETE FROM payments WHERE id = ${OF('held')}`, check: FACTS },
  {
    title: 'a fact without its transaction',
    sql: `UPDATE payment_facts SET transaction_id = 7 WHERE subject = 'acme/held' AND outcome = 'applied'`,
    check: FACTS,
  },
  {
    title: 'an entry without its item',
    sql: `DELETE FROM payable_items WHERE kind = 'refund' AND subject_id = ${OF('whole')}`,
    check: ITEMS,
    names: 'whole',
  },
  {
    title: 'an item of another payment’s entry',
    sql: `UPDATE payable_items SET subject_id = ${OF('doubted')} WHERE kind = 'refund'`,
    check: ITEMS,
    names: 'doubted',
  },
  {
    title: 'an item of an entry that is not of merchant_payable',
    sql: `INSERT INTO payable_items SELECT merchant_id, id, 1, 'payment', ${OF('whole')} FROM accounts WHERE code = 'cash:EUR'`,
    check: ITEMS,
    names: 'whole',
  },
  ...[
    ['refund', 'dispute'],
    ['payment', 'refund'],
    ['dispute', 'payment'],
  ].map(([one, other]) => ({
    title: `a ${one} whose item is of a ${other}`,
    sql: `UPDATE payable_items SET kind = '${other}' WHERE kind = '${one}' AND subject_id = ${OF('whole')}`,
    check: KINDS,
    names: 'whole',
  })),
  {
    title: 'an item of before that is lost',
    sql: `UPDATE payable_items SET net = true; DELETE FROM payable_items WHERE kind = 'refund'`,
    check: KINDS,
    names: 'whole',
  },
] as const;

async function writePayments(on: TestDatabase): Promise<void> {
  const ledger = await TestLedger.open(on);
  const payments = new TestPayments(ledger);
  for (const _merchant of [1, 2]) {
    const merchant = await payments.createMerchant();
    const told = async (ref: string, ...facts: Parameters<typeof factOf>[]) => {
      const outcomes = await payments.tell(merchant, ref, ...facts.map((fact) => factOf(...fact)));
      return outcomes.map(({ outcome }) => outcome);
    };
    const dispute = { objectRef: 'd', amount: 100n };
    const whole = await told(
      'whole',
      ['authorised'],
      ['captured'],
      ['refunded', { amount: 300n }],
      ['settled', { fee: 30n }],
      ['dispute_opened', dispute],
      ['dispute_fee', { ...dispute, amount: 15n }],
    );
    expect(whole).toEqual(Array(6).fill('applied'));
    expect(await told('held', ['authorised'], ['refunded', { amount: 1n }])).toEqual(['applied', 'parked']);
    // Later, so that it is the other that founds the payment.
    const other = { currency: 'USD', occurredAtMs: Date.now() + 1_000 };
    expect(await told('doubted', ['authorised'], ['authorised', other], ['captured', { amount: 2_000n }])).toEqual([
      'applied',
      'rejected',
      'applied',
    ]);
    expect(await told('waiting', ['captured'])).toEqual(['parked']);
    await payments.open(merchant, { capture: 'automatic' });
    await payments.open(merchant);
  }
  await ledger.close();
}

describe('verify, of payments', () => {
  let clean: TestDatabase;

  beforeAll(async () => {
    clean = await freshDatabase();
    await writePayments(clean);
  });
  afterAll(() => clean.drop());

  test('clean ones pass, and each check looks at some', async () => {
    await expectVerified(clean);
    const results = await verify(clean.runtimeUrl, PAYMENT_CHECKS);
    expect(results.filter(({ counted }) => counted === 0n)).toEqual([]);
  });

  test.each(CORRUPTIONS)('$title is found by $check and named', async (corruption) => {
    const corrupted = await freshDatabase(clean);
    try {
      const name = 'names' in corruption && corruption.names ? corruption.names : undefined;
      const ids = await asAdmin(corrupted.ownerUrl, async (admin) => {
        const { rows } = await admin.query('SELECT id::text FROM payments WHERE provider_ref = $1', [name]);
        const one = corruption.sql.replaceAll('(SELECT id FROM', '(SELECT max(id) FROM');
        await admin.query(`SET session_replication_role = replica; ${one}`);
        return rows.map(({ id }) => id as string);
      });
      const offenders = offendersOf(await verify(corrupted.runtimeUrl, PAYMENT_CHECKS));
      const found = Object.entries(offenders)
        .find(([check]) => corruption.check.test(check))?.[1]
        .join('\n');
      expect(found, `checks that found something: ${JSON.stringify(offenders)}`).toBeDefined();
      if (name) expect(ids.some((id) => found?.includes(id))).toBe(true);
    } finally {
      await corrupted.drop();
    }
  });
});
