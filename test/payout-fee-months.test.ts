import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#kernel/clock.js';
import { Deadline } from '#platform/deadline.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { RULE, TestSettlement } from './support/settlement.js';
import { TestPayouts } from './support/test-payouts.js';

const DAY_MS = 86_400_000;

let on: TestDatabase;
let settlement: TestSettlement;
let payouts: TestPayouts;

/** What PostgreSQL takes for now in this database: names are looked up in the schema `clock` first. */
async function setNow(expression: string): Promise<void> {
  await asAdmin(on.ownerUrl, async (admin) => {
    await admin.query(
      `CREATE OR REPLACE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT ${expression} $$`,
    );
  });
}

beforeAll(async () => {
  on = await freshDatabase();
  await asAdmin(on.ownerUrl, async (admin) => {
    await admin.query('CREATE SCHEMA clock; GRANT USAGE ON SCHEMA clock TO PUBLIC');
    await admin.query(
      `ALTER DATABASE ${new URL(on.ownerUrl).pathname.slice(1)} SET search_path = clock, pg_catalog, public`,
    );
  });
  await setNow('pg_catalog.now()');
  settlement = await TestSettlement.open(on, { clock: { ...systemClock, now: () => Date.now() + 3 * DAY_MS } });
  payouts = await TestPayouts.of(settlement.ledger);
});
afterAll(async () => {
  await settlement.close();
  await on.drop();
});

async function feeIn(timeZone: string, now: string): Promise<unknown> {
  await setNow('pg_catalog.now()');
  const merchant = await settlement.createMerchant({ timeZone });
  const rules = [{ fixed: 100n }, { fixed: 10n, tierFrom: 20_000n }];
  await settlement.charge(
    merchant,
    rules.map((rule) => ({ ...RULE, appliesTo: 'payout', ...rule })),
  );
  await settlement.happen(merchant, { kind: 'other', amount: 10_000n, atMs: Date.now() });
  await settlement.settle([merchant], new Date(Date.now() + DAY_MS).toISOString().slice(0, 10));
  const { database } = settlement.ledger;
  await database.write({ merchantIds: [merchant] }, Deadline.after(20_000), {
    text: `INSERT INTO fee_volumes VALUES ($1, 'EUR', '2031-11-01', 20000)`,
    values: [merchant],
  });
  await setNow(`'${now}'::timestamptz`);
  const id = await payouts.request(merchant, 1n);
  const query = { text: 'SELECT fee::text FROM payouts WHERE merchant_id = $1 AND id = $2', values: [merchant, id] };
  return (await database.read({ merchantIds: [merchant] }, Deadline.after(20_000), query))[0]?.fee;
}

test.each([
  ['Pacific/Kiritimati', '2031-11-30T09:59:59Z', '10'],
  ['Pacific/Kiritimati', '2031-11-30T10:00:00Z', '100'],
  ['Pacific/Pago_Pago', '2031-12-01T10:59:59Z', '10'],
  ['Pacific/Pago_Pago', '2031-12-01T11:00:00Z', '100'],
  ['Pacific/Pago_Pago', '2031-11-01T10:59:59Z', '100'],
])('a payout counts to the month that it is where the merchant is: in %s at %s', async (timeZone, now, fee) => {
  expect(await feeIn(timeZone, now)).toBe(fee);
});
