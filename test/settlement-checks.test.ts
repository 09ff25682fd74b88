import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FeeRule } from '#fees/fee-plan.js';
import { verify } from '#platform/verify.js';
import { SETTLEMENT_CHECKS } from '#settlement/checks.js';
import { Bystander } from './support/bystander.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { transfer } from './support/ledger.js';
import { factOf, TestPayments } from './support/payments.js';
import { RULE, TestSettlement } from './support/settlement.js';
import { expectVerified, offendersOf } from './support/verified.js';

const SUM = /^every settlement, and every one in the making, is the sum/;
const ENTRY = /^every line of a settlement is what its entry/;
const LEFT_OUT = /^what a settlement looked at/;
const DAYS = /^a day of a currency is settled once/;
const FEES = /^a settlement’s transaction posts its fees/;
const BALANCE = /^what is settled of a currency is the sum/;
const REACH = /^settlements of a currency have looked/;
const VOLUME = /^the gross volume/;

const LAST = '(SELECT id FROM settlements ORDER BY business_date DESC, id LIMIT 1)';
const FIRST = '(SELECT id FROM settlements ORDER BY business_date, id LIMIT 1)';
const ITS_LINE = (kind: string, of = FIRST) =>
  `(account_id, account_version) = (SELECT account_id, min(account_version) FROM settlement_lines WHERE kind = '${kind}' AND settlement_id = ${of} GROUP BY account_id)`;

/** What each is in a settlement's net. */
const AMOUNTS = { gross: 1, refunds: -1, disputes: -1, other: 1, adjustments: 1, fees: -1, items: 0 };

/** What somebody with a superuser's rights did, the check that must tell it, and the settlement that it must name. */
const CORRUPTIONS: { title: string; sql: string; check: RegExp; names?: string }[] = [
  ...Object.entries(AMOUNTS).flatMap(([amount, inNet]) => [
    {
      title: `a settlement with another amount: ${amount}`,
      sql: `UPDATE settlements SET ${amount} = ${amount} + 1, net = net + ${inNet} WHERE id = ${LAST}`,
      check: SUM,
      names: LAST,
    },
    {
      title: `a settlement in the making with another amount: ${amount}`,
      sql: `UPDATE settlement_drafts SET ${amount} = ${amount} + 1`,
      check: SUM,
      names: '(SELECT min(settlement_id) FROM settlement_drafts)',
    },
  ]),
  {
    title: 'a line lost',
    sql: `DELETE FROM settlement_lines WHERE ${ITS_LINE('refund')}`,
    check: SUM,
    names: FIRST,
  },
  {
    title: 'a line lost, and its settlement made up for it',
    sql: `ALTER TABLE settlements DROP CONSTRAINT settlements_check1; UPDATE settlements SET refunds = 0, fees = fees - (SELECT fee FROM settlement_lines WHERE ${ITS_LINE('refund')}), items = items - 1 WHERE id = ${FIRST};
          DELETE FROM settlement_lines WHERE ${ITS_LINE('refund')}`,
    check: LEFT_OUT,
    names: FIRST,
  },
  {
    title: 'a settlement that is gone, with its lines left',
    sql: `DELETE FROM settlements WHERE id = ${FIRST}`,
    check: ENTRY,
    names: FIRST,
  },
  {
    title: 'a draft that is gone, with its lines left',
    sql: 'DELETE FROM settlement_drafts',
    check: ENTRY,
    names: '(SELECT min(settlement_id) FROM settlement_drafts)',
  },
  {
    title: 'a settlement that is gone with its lines',
    sql: `DELETE FROM settlement_lines WHERE settlement_id = ${LAST}; DELETE FROM settlements WHERE id = ${LAST}`,
    check: BALANCE,
  },
  ...[
    ['another amount', 'amount = amount + 1'],
    ['another transaction', 'transaction_id = 17'],
    ['another payment', 'payment_id = 17'],
    ['no payment', 'payment_id = NULL'],
    ['another kind', `kind = 'refund'`],
    ['no kind that anybody knows', `kind = 'other', payment_id = NULL`],
    ['another time', `effective_at = effective_at + interval '1 ms'`],
    ['another day', 'business_date = business_date - 1'],
    [
      'an account of another kind',
      `account_id = (SELECT min(id) FROM accounts a WHERE a.merchant_id = l.merchant_id AND code = 'cash:EUR')`,
    ],
  ].map(([what, set]) => ({
    title: `a line with ${what}`,
    sql: `UPDATE settlement_lines l SET ${set} WHERE ${ITS_LINE('payment')}`,
    check: ENTRY,
    names: FIRST,
  })),
  {
    title: 'a line of an entry that is not there',
    sql: `UPDATE settlement_lines SET account_version = 1000 WHERE ${ITS_LINE('payment')}`,
    check: ENTRY,
    names: FIRST,
  },
  {
    title: 'a line of a day that was not over',
    sql: `UPDATE settlements SET ends_at = starts_at + interval '1 hour' WHERE id = ${FIRST}`,
    check: ENTRY,
    names: FIRST,
  },
  {
    title: 'a day that is settled twice',
    sql: `ALTER TABLE settlements DROP CONSTRAINT settlements_merchant_id_currency_business_date_key;
          INSERT INTO settlements SELECT (json_populate_record(s, json_build_object('id', id + 1))).* FROM settlements s WHERE id = ${FIRST}`,
    check: DAYS,
  },
  ...[
    ['that begins before the one before it ends', `starts_at = starts_at - interval '1 second'`],
    ['that looked at less than the one before it', 'looked_through = 0, first_version = 0, last_version = 0'],
    ['of a day that is to come', `business_date = business_date + 400`],
    ['that ends later than its merchant is settled', `ends_at = ends_at + interval '1 hour'`],
  ].map(([what, set]) => ({
    title: `a settlement ${what}`,
    sql: `UPDATE settlements SET ${set} WHERE id = ${LAST}`,
    check: DAYS,
    names: LAST,
  })),
  {
    title: 'a settlement whose amounts do not come to its net',
    sql: `ALTER TABLE settlements DROP CONSTRAINT settlements_check1, DROP CONSTRAINT settlements_check; UPDATE settlements SET net = net + 1 WHERE id = ${LAST}`,
    check: DAYS,
    names: LAST,
  },
  {
    title: 'a merchant that forgot how far it is settled',
    sql: 'DELETE FROM settlement_positions',
    check: DAYS,
    names: FIRST,
  },
  {
    title: 'a merchant that began later',
    sql: 'UPDATE settlement_positions SET first_date = business_date',
    check: DAYS,
    names: FIRST,
  },
  {
    title: 'a draft of a day that is settled',
    sql: 'UPDATE settlement_positions p SET business_date = (SELECT max(business_date) FROM settlement_drafts)',
    check: DAYS,
    names: '(SELECT min(settlement_id) FROM settlement_drafts)',
  },
  {
    title: 'fees that were posted otherwise',
    sql: `UPDATE entries SET posted_amount = posted_amount + 1 WHERE transaction_id = (SELECT transaction_id FROM settlements WHERE id = ${FIRST})`,
    check: FEES,
    names: FIRST,
  },
  {
    title: 'a settlement that forgot its transaction',
    sql: `ALTER TABLE settlements DROP CONSTRAINT settlements_check3; UPDATE settlements SET transaction_id = NULL WHERE id = ${FIRST}`,
    check: FEES,
    names: FIRST,
  },
  {
    title: 'a transaction of fees that no settlement has',
    sql: `UPDATE transactions SET kind = 'adjustment', type = 'settlement.fees' WHERE type = 'by.hand'`,
    check: FEES,
  },
  {
    title: 'fees of another settlement',
    sql: `UPDATE payable_items SET subject_id = 17 WHERE kind = 'fees'`,
    check: FEES,
    names: FIRST,
  },
  ...['settled', 'paid_out'].map((column) => ({
    title: `a currency of which more is ${column}`,
    sql: `UPDATE settled_balances SET ${column} = ${column} + 1`,
    check: BALANCE,
  })),
  {
    title: 'a currency that has looked at less than its settlements',
    sql: 'UPDATE settled_balances SET looked_through = 0, taken_through = 0',
    check: REACH,
  },
  {
    title: 'a currency that has taken more than there is',
    sql: 'UPDATE settled_balances SET looked_through = 1000, taken_through = 1000',
    check: REACH,
  },
  { title: 'sums of a currency that are gone', sql: 'DELETE FROM settled_balances', check: BALANCE },
  { title: 'another volume', sql: 'UPDATE fee_volumes SET gross = gross + 1', check: VOLUME },
  { title: 'volumes that are gone', sql: 'DELETE FROM fee_volumes', check: VOLUME },
];

const DAY_MS = 86_400_000;
const dayBefore = (days: number) => new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);
const atNoon = (days: number) => Date.parse(`${dayBefore(days)}T12:00:00Z`);

const RULES: FeeRule[] = [
  { ...RULE, appliesTo: 'payment', percentBps: 290, fixed: 25n },
  { ...RULE, appliesTo: 'refund', fixed: 5n },
  { ...RULE, appliesTo: 'dispute', fixed: 15n },
];

/** Two merchants with fees: two days that are settled, the second with something late, one in the making, and what no day has taken. */
async function settleDays(on: TestDatabase): Promise<void> {
  const settlement = await TestSettlement.open(on, { chunkEntries: 3 });
  const { ledger } = settlement;
  const payments = new TestPayments(ledger);
  const merchants = [await settlement.createMerchant(), await settlement.createMerchant()];
  const each = async (work: (merchant: bigint, receivable: bigint, payable: bigint) => Promise<unknown>) => {
    for (const merchant of merchants) {
      const [receivable, payable] = await payments.accountIds(merchant);
      await work(merchant, receivable as bigint, payable as bigint);
    }
  };
  const live = (merchant: bigint, ref: string, occurredAtMs: number) => {
    const captured = factOf('captured', { sequence: 1, objectRef: 'c', occurredAtMs });
    const refunded = factOf('refunded', { objectRef: 'r', amount: 300n, occurredAtMs });
    const disputed = factOf('dispute_opened', { objectRef: 'd', amount: 200n, stage: 'chargeback', occurredAtMs });
    return payments.tell(merchant, ref, captured, refunded, disputed);
  };
  const settle = async (days: number) => {
    const results = await settlement.settle(merchants, dayBefore(days));
    expect(results.map(({ outcome }) => outcome)).toEqual(['settled', 'settled']);
  };
  await each(async (merchant, receivable, payable) => {
    await settlement.charge(merchant, RULES, true);
    await live(merchant, 'first', atNoon(3));
    await ledger.post(merchant, transfer(receivable, payable, 7n, { type: 'by.hand', effectiveAtMs: atNoon(3) }));
  });
  await settle(3);
  await each(async (merchant, receivable, payable) => {
    await live(merchant, 'late', atNoon(3) + 1);
    await live(merchant, 'second', atNoon(2));
    await ledger.post(merchant, transfer(payable, receivable, 1n, { effectiveAtMs: atNoon(1) }));
  });
  await settle(2);
  await each((merchant) => live(merchant, 'third', atNoon(1)));
  await leaveInTheMaking(on, merchants);
  await each((merchant) => live(merchant, 'today', Date.now()));
  await settlement.close();
}

/** Their fees cannot be posted, as somebody holds the balances that they go to. */
async function leaveInTheMaking(on: TestDatabase, merchants: readonly bigint[]): Promise<void> {
  const impatient = await TestSettlement.open(on, { writer: { groupTimeoutMs: 200, attempts: 1 } });
  const bystander = await Bystander.open(on);
  try {
    await bystander.client.query('BEGIN');
    await bystander.client.query(
      `SELECT FROM balances b JOIN accounts a ON a.id = b.account_id WHERE a.code LIKE 'fee_revenue:%' FOR UPDATE OF b`,
    );
    await impatient.settle(merchants, dayBefore(1), 2_000).catch(() => undefined);
  } finally {
    await impatient.close();
    await bystander.release();
    await bystander.close();
  }
}

describe('verify, of settlements', () => {
  let clean: TestDatabase;

  beforeAll(async () => {
    clean = await freshDatabase();
    await settleDays(clean);
  });
  afterAll(() => clean.drop());

  test('clean ones pass, in the making as well, and each check looks at some', async () => {
    await expectVerified(clean);
    const results = await verify(clean.runtimeUrl, SETTLEMENT_CHECKS);
    expect(offendersOf(results)).toEqual({});
    expect(results.filter(({ counted }) => counted === 0n)).toEqual([]);
    const { rows } = await asAdmin(clean.ownerUrl, (admin) =>
      admin.query(
        `SELECT count(*)::int AS drafts, sum(items)::int AS items, count(DISTINCT fees)::int AS fees FROM settlement_drafts`,
      ),
    );
    expect(rows).toEqual([{ drafts: 2, items: 8, fees: 1 }]);
  });

  test.each(CORRUPTIONS)('$title is found by $check and named', async ({ sql, check, names }) => {
    const corrupted = await freshDatabase(clean);
    try {
      const name = await asAdmin(corrupted.ownerUrl, async (admin) => {
        const { rows } = names === undefined ? { rows: [] } : await admin.query(`SELECT ${names}::text AS id`);
        await admin.query(`SET session_replication_role = replica; ${sql}`);
        return rows[0]?.id as string | undefined;
      });
      const offenders = offendersOf(await verify(corrupted.runtimeUrl, SETTLEMENT_CHECKS));
      const found = Object.entries(offenders).find(([check_]) => check.test(check_))?.[1];
      expect(found, `checks that found something: ${JSON.stringify(offenders)}`).toBeDefined();
      if (name !== undefined) expect(found?.join('\n')).toContain(name);
    } finally {
      await corrupted.drop();
    }
  });
});
