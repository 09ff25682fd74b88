import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { expectVerified } from './support/verified.js';

/** Money from nothing, and what else a role that may create something could put in the place of what is real. */
let on: TestDatabase;
let ledger: TestLedger;
let client: pg.Client;
let merchant: bigint;
let cash: bigint;

beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  merchant = await ledger.createMerchant();
  cash = await ledger.createAccount(merchant, { code: 'cash' });
  const sink = await ledger.createAccount(merchant, { code: 'sink' });
  postedId(await ledger.post(merchant, transfer(sink, cash, 5n)));
  client = new pg.Client({ connectionString: on.runtimeUrl });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await ledger.close();
  await on.drop();
});
beforeEach(async () => {
  await client.query('BEGIN');
  await client.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchant}}`]);
});
afterEach(async () => {
  await client.query('ROLLBACK');
  await expectVerified(on);
});

test.each([
  'CREATE TEMP TABLE entries (LIKE public.entries)',
  'CREATE TEMP VIEW entries AS SELECT * FROM public.entries',
  'CREATE TEMP SEQUENCE events_seq',
  'CREATE TABLE mine (id int)',
  'CREATE SCHEMA mine',
  'CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql RETURN 1',
  'SELECT lo_create(0)',
  `SELECT lo_from_bytea(0, 'x')`,
])('the runtime role is refused: %s', async (sql) => {
  await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
});

test('a temporary table in the place of each real one fools no trigger, were it allowed', async () => {
  const name = new URL(on.ownerUrl).pathname.slice(1);
  await asAdmin(on.ownerUrl, (owner) => owner.query(`GRANT TEMPORARY ON DATABASE ${name} TO PUBLIC`));
  const { rows } = await client.query<{ relname: string }>(
    `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
  );
  for (const { relname } of rows)
    await client.query(`CREATE TEMP TABLE ${relname} (LIKE public.${relname} INCLUDING DEFAULTS)`);
  await client.query(`SELECT set_config('search_path', 'pg_temp, public', true)`);
  await client.query(
    `INSERT INTO pg_temp.entries SELECT merchant_id, account_id, 2, transaction_id + 1, direction, currency, 1000000, 0,
       posted_debits, posted_credits + 1000000, 0, 0, effective_at, type FROM public.entries WHERE account_id = $1`,
    [cash],
  );
  const money = `UPDATE public.balances SET version = 2, posted_credits = posted_credits + 1000000,
                   last_transaction_id = last_transaction_id + 1 WHERE account_id = $1`;
  await expect(client.query(money, [cash])).rejects.toMatchObject({ constraint: 'balances_follow_entries' });
  await client.query('ROLLBACK');
  await client.query('BEGIN');
  await client.query('CREATE TEMP TABLE write_fence_horizon (token bigint)');
  await ledger.database.transaction('platform', Deadline.after(5_000), (db) =>
    db.query({ text: 'UPDATE write_fence_horizon SET token = 1000' }),
  );
  await expect(client.query('INSERT INTO write_fences (token) VALUES (1000)')).rejects.toMatchObject({
    constraint: 'write_fence_horizon',
  });
});
