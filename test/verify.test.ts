import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LEDGER_CHECKS, verify } from '#ledger/verify.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { expectVerified, offendersOf } from './support/verified.js';

/** A book with everything in it: holds, captures, releases, reversals, late entries, floors, two merchants, a closed account. */
async function writeBook(on: TestDatabase): Promise<void> {
  const ledger = await TestLedger.open(on);
  for (const _merchant of [1, 2]) {
    const merchant = await ledger.createMerchant();
    const cash = await ledger.createAccount(merchant, { code: 'cash', normalSide: 'debit' });
    const payable = await ledger.createAccount(merchant, { code: 'payable', minAvailable: 0n });
    const late = Date.now() - 3_600_000;
    postedId(await ledger.post(merchant, transfer(cash, payable, 1_000n), 'funding'));
    postedId(await ledger.post(merchant, transfer(cash, payable, 50n, { effectiveAtMs: late }), 'late'));
    const held = postedId(await ledger.post(merchant, transfer(payable, cash, 300n, { pending: true }), 'held'));
    postedId(await ledger.move(merchant, { kind: 'capture', parentId: held, amount: 100n, final: false }, 'captured'));
    const voided = postedId(
      await ledger.post(merchant, transfer(payable, cash, 70n, { pending: true, expiresAtMs: Date.now() + 60_000 })),
    );
    postedId(await ledger.move(merchant, { kind: 'void', parentId: voided }));
    const reversed = postedId(await ledger.post(merchant, transfer(cash, payable, 20n), 'reversed'));
    postedId(await ledger.move(merchant, { kind: 'reverse', parentId: reversed, amount: 5n }));
    const fees = await ledger.createAccount(merchant, { code: 'fees' });
    const order = transfer(cash, payable, 60n, { pending: true });
    order.entries[0] = { ...order.entries[0], amount: 100n } as (typeof order.entries)[0];
    order.entries.push({ account: { id: fees }, direction: 'credit', amount: 40n, currency: 'EUR' });
    const several = postedId(await ledger.post(merchant, order, 'several'));
    const part = [
      { accountId: cash, amount: 30n },
      { accountId: fees, amount: 30n },
    ];
    const sold = postedId(
      await ledger.move(merchant, { kind: 'capture', parentId: several, entries: part, final: false }, 'sold'),
    );
    const refund = postedId(await ledger.move(merchant, { kind: 'reverse', parentId: sold }, 'refund'));
    postedId(await ledger.move(merchant, { kind: 'reverse', parentId: refund, amount: 10n }, 'bounced'));
    const below = transfer(payable, cash, 3_000n, { ignoreFloor: true, externalRef: 'cb', metadata: '{"case":7}' });
    postedId(await ledger.post(merchant, below, 'chargeback'));
    const refused = await ledger.post(merchant, transfer(payable, cash, 1_000_000n));
    expect(refused.result).toMatchObject({ refusal: { code: 'insufficient_funds' } });
    const closed = await ledger.createAccount(merchant, { code: 'closed' });
    const account = { id: closed, code: 'closed', currency: 'EUR', normalSide: 'credit', minAvailable: null } as const;
    const commands = [{ kind: 'close', accountId: closed }] as const;
    await ledger.desk.submit(ledger.context(merchant), {
      mode: 'single',
      commands,
      accounts: new Map([[closed, account]]),
      idempotency: undefined,
    });
  }
  await ledger.close();
}

const OF_KEY = (key: string): string =>
  `(SELECT transaction_id FROM idempotency_keys WHERE key = '${key}' ORDER BY merchant_id LIMIT 1)`;
const ENTRY_OF = (key: string): string => `transaction_id = ${OF_KEY(key)} AND direction = 1`;

/** What somebody with a superuser's rights did, the check that must tell it, and the row that it must name. */
const CORRUPTIONS: { title: string; sql: string; check: RegExp; names?: string }[] = [
  {
    title: 'an entry of another amount',
    sql: `UPDATE entries SET posted_amount = posted_amount + 1 WHERE ${ENTRY_OF('funding')}`,
    check: /^I1/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a hold of another amount',
    sql: `UPDATE entries SET pending_amount = pending_amount + 1 WHERE ${ENTRY_OF('held')}`,
    check: /^I1/,
    names: OF_KEY('held'),
  },
  { title: 'an entry deleted', sql: `DELETE FROM entries WHERE ${ENTRY_OF('late')}`, check: /without a gap/ },
  {
    title: 'a transaction without its entries',
    sql: `DELETE FROM entries WHERE transaction_id = ${OF_KEY('reversed')}`,
    check: /^every transaction has its entries/,
    names: OF_KEY('reversed'),
  },
  {
    title: 'a running total that is off',
    sql: `UPDATE entries SET posted_debits = posted_debits + 1 WHERE ${ENTRY_OF('late')}`,
    check: /^running totals/,
    names: OF_KEY('late'),
  },
  {
    title: 'a running pending total that is off',
    sql: `UPDATE entries SET pending_credits = pending_credits + 1 WHERE ${ENTRY_OF('late')}`,
    check: /^running totals/,
    names: OF_KEY('late'),
  },
  {
    title: 'a balance that is off',
    sql: `UPDATE balances SET posted_debits = posted_debits + 1 WHERE version > 0`,
    check: /^I2: every balance/,
  },
  {
    title: 'a balance of another version',
    sql: `UPDATE balances SET version = version + 1 WHERE version > 0`,
    check: /^I2: every balance/,
  },
  {
    title: 'a balance that forgot its newest transaction',
    sql: `UPDATE balances SET last_transaction_id = 0 WHERE version > 0`,
    check: /^I2: every balance/,
  },
  { title: 'a balance deleted', sql: `DELETE FROM balances WHERE version > 0`, check: /^I2: every balance/ },
  {
    title: 'the newest entries cut off',
    sql: `DELETE FROM entries e USING balances b WHERE e.account_id = b.account_id AND e.account_version = b.version`,
    check: /^I2: every balance/,
  },
  {
    title: 'a floor that was not kept',
    sql: `UPDATE accounts SET min_available = 0 WHERE code = 'cash'; UPDATE accounts SET normal_side = -1 WHERE code = 'cash'`,
    check: /^I2: nobody/,
  },
  {
    title: 'a floor that nobody was allowed to ignore',
    sql: `UPDATE transactions SET ignored_floor = false WHERE id = ${OF_KEY('chargeback')}`,
    check: /^I2: nobody/,
    names: OF_KEY('chargeback'),
  },
  {
    title: 'a transaction deleted',
    sql: `DELETE FROM transactions WHERE id = ${OF_KEY('funding')}`,
    check: /^every transaction has its entries/,
    names: OF_KEY('funding'),
  },
  {
    title: 'legs that point elsewhere',
    sql: `UPDATE transactions SET legs[2] = legs[2] + 1 WHERE id = ${OF_KEY('funding')}`,
    check: /^every transaction has its entries/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a transaction of another amount',
    sql: `UPDATE transactions SET amount = amount + 1 WHERE id = ${OF_KEY('funding')}`,
    check: /^amounts, types/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a transaction moved in time',
    sql: `UPDATE transactions SET effective_at = effective_at - interval '1 day' WHERE id = ${OF_KEY('funding')}`,
    check: /^amounts, types/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a hold that says it was posted',
    sql: `UPDATE transactions SET kind = 'posted' WHERE id = ${OF_KEY('held')}`,
    check: /^amounts, types/,
    names: OF_KEY('held'),
  },
  {
    title: 'an entry in another currency',
    sql: `UPDATE entries SET currency = 'USD' WHERE transaction_id = ${OF_KEY('funding')}`,
    check: /^entries are in the currency/,
  },
  {
    title: 'a capture of nothing',
    sql: `UPDATE transactions SET parent_id = 1 WHERE id = ${OF_KEY('captured')}`,
    check: /^parents exist/,
    names: OF_KEY('captured'),
  },
  {
    title: 'a hold with more left than was not captured',
    sql: `UPDATE transaction_states SET remaining = remaining + 1 WHERE transaction_id = ${OF_KEY('held')}`,
    check: /^states are/,
    names: OF_KEY('held'),
  },
  {
    title: 'a hold that says it is whole',
    sql: `UPDATE transaction_states SET status = 'pending' WHERE transaction_id = ${OF_KEY('held')}`,
    check: /^states are/,
    names: OF_KEY('held'),
  },
  {
    title: 'a reversal forgotten',
    sql: `UPDATE transaction_states SET reversed = 0 WHERE transaction_id = ${OF_KEY('reversed')}`,
    check: /^states are/,
    names: OF_KEY('reversed'),
  },
  {
    title: 'an entry with more left, another with less',
    sql: `UPDATE transaction_states SET left_amounts = ARRAY[left_amounts[1], left_amounts[2] - 1, left_amounts[3] + 1]
           WHERE transaction_id = ${OF_KEY('several')}`,
    check: /^states are/,
    names: OF_KEY('several'),
  },
  {
    title: 'a bounced refund that did not give back',
    sql: `UPDATE transaction_states SET left_amounts = '{0,0}', reversed = 30 WHERE transaction_id = ${OF_KEY('sold')}`,
    check: /^states are/,
    names: OF_KEY('sold'),
  },
  {
    title: 'a state lost',
    sql: `DELETE FROM transaction_states WHERE transaction_id = ${OF_KEY('held')}`,
    check: /^states are/,
    names: OF_KEY('held'),
  },
  {
    title: 'a state of nothing',
    sql: `INSERT INTO transaction_states SELECT merchant_id, transaction_id, 'posted', 0, 1, NULL, '{999,999}' FROM idempotency_keys WHERE key = 'funding'`,
    check: /^states are/,
    names: OF_KEY('funding'),
  },
  {
    title: 'two keys for one transaction',
    sql: `INSERT INTO idempotency_keys SELECT merchant_id, 'second', request_sha256, status, transaction_id FROM idempotency_keys WHERE key = 'funding'`,
    check: /^I4/,
    names: OF_KEY('funding'),
  },
  {
    title: 'a key without its transaction',
    sql: `UPDATE idempotency_keys SET transaction_id = 17 WHERE key = 'funding'`,
    check: /^I4/,
  },
  {
    title: 'a batch key without its transaction',
    sql: `UPDATE idempotency_keys SET transaction_id = NULL, response = '["17"]' WHERE key = 'funding'`,
    check: /^I4/,
  },
  {
    title: 'a late sum that is off',
    sql: `UPDATE late_sums SET posted_debits = posted_debits + 1 WHERE level = 2`,
    check: /^sums and versions of late/,
  },
  {
    title: 'the version of a late sum',
    sql: `UPDATE late_sums SET newest_version = newest_version + 1 WHERE level = 2 AND newest_version > 0`,
    check: /^sums and versions of late/,
  },
  { title: 'a late sum lost', sql: `DELETE FROM late_sums WHERE level = 0`, check: /^sums and versions of late/ },
  {
    title: 'a late sum of nothing',
    sql: `INSERT INTO late_sums SELECT merchant_id, id, 0, 1, 1, 1, 0, 0 FROM accounts`,
    check: /^sums and versions of late/,
  },
  {
    title: 'a created_at that is not that of the id',
    sql: `ALTER TABLE transactions DROP CONSTRAINT transactions_check; UPDATE transactions SET created_at = created_at + interval '1 millisecond' WHERE id = ${OF_KEY('funding')}`,
    check: /^created_at/,
    names: OF_KEY('funding'),
  },
  {
    title: 'ids against the versions',
    sql: `UPDATE entries SET transaction_id = 17 WHERE ${ENTRY_OF('reversed')}`,
    check: /^ids ascend/,
  },
  {
    title: 'an event lost',
    sql: `DELETE FROM events WHERE data ->> 'transaction_id' = ${OF_KEY('funding')}::text`,
    check: /^every transaction is told/,
    names: OF_KEY('funding'),
  },
  {
    title: 'an event told twice',
    sql: `INSERT INTO events (merchant_id, type, version, occurred_at, data) SELECT merchant_id, type, version, occurred_at, data FROM events WHERE data ->> 'transaction_id' = ${OF_KEY('funding')}::text`,
    check: /^every transaction is told/,
    names: OF_KEY('funding'),
  },
  {
    title: 'an event with another amount',
    sql: `UPDATE events SET data = replace(data::text, '"posted":"1000"', '"posted":"1001"')::json`,
    check: /^every transaction is told/,
    names: OF_KEY('funding'),
  },
  ...[
    `'"metadata":{"case":7}', '"metadata":{"case":8}'`,
    `'"external_ref":"cb"', '"external_ref":"cc"'`,
    `'"ignored_floor":true', '"ignored_floor":false'`,
  ].map((change) => ({
    title: `an event that tells ${change.slice(1, change.indexOf(':'))} otherwise`,
    sql: `UPDATE events SET data = replace(data::text, ${change})::json`,
    check: /^every transaction is told/,
    names: OF_KEY('chargeback'),
  })),
  {
    title: 'an account without its event',
    sql: `DELETE FROM events WHERE type = 'account.created'`,
    check: /^every account/,
  },
  { title: 'an account closed by hand', sql: `UPDATE balances SET closed = true`, check: /^every account/ },
];

describe('verify', () => {
  let clean: TestDatabase;

  beforeAll(async () => {
    clean = await freshDatabase();
    await writeBook(clean);
  });
  afterAll(() => clean.drop());

  test('a clean database passes, as the runtime role and as the owner alike', async () => {
    expect(await expectVerified(clean)).toBe(26n);
    const [asRuntime, asOwner] = [
      await verify(clean.runtimeUrl, LEDGER_CHECKS),
      await verify(clean.ownerUrl, LEDGER_CHECKS),
    ];
    expect(asOwner).toEqual(asRuntime);
    expect(asRuntime.filter(({ counted }) => counted === 0n)).toEqual([]);
  });

  test.each(CORRUPTIONS)('$title is found and named', async ({ sql, check, names }) => {
    const corrupted = await freshDatabase(clean);
    try {
      const expectedName = await asAdmin(corrupted.ownerUrl, async (admin) => {
        const named = names === undefined ? undefined : (await admin.query(`SELECT ${names} AS id`)).rows[0].id;
        await admin.query(`SET session_replication_role = replica; ${sql}`);
        return named;
      });
      const offenders = offendersOf(await verify(corrupted.runtimeUrl, LEDGER_CHECKS));
      const found = Object.entries(offenders).find(([name]) => check.test(name));
      expect(found, `checks that found something: ${JSON.stringify(offenders)}`).toBeDefined();
      if (expectedName) expect(found?.[1].join('\n')).toContain(expectedName);
    } finally {
      await corrupted.drop();
    }
  });
});
