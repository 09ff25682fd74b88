import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { merchantTransaction } from './outbox/merchant-transaction.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';

let on: TestDatabase;
let here: TestLedger;
let there: TestLedger;
let bystander: Bystander;

beforeAll(async () => {
  on = await freshDatabase();
  [here, there, bystander] = await Promise.all([TestLedger.open(on), TestLedger.open(on), Bystander.open(on)]);
});
afterAll(async () => {
  await Promise.all([here.close(), there.close(), bystander.close()]);
  await on.drop();
});

/** What the log tells of an account, in the log's order. */
async function versionsOf(accountId: bigint): Promise<number[]> {
  const { versions } = await bystander.one<{ versions: number[] }>(
    `SELECT coalesce(array_agg((x ->> 'account_version')::int ORDER BY xid, seq), '{}') AS versions
       FROM events CROSS JOIN LATERAL json_array_elements(data -> 'entries') AS x
      WHERE type LIKE 'transaction.%' AND x ->> 'account_id' = $1`,
    [String(accountId)],
  );
  return versions;
}

/**
 * A transaction takes its xid with its first row lock. Were that all, a group of one process that waits for its second row
 * would have a lower xid, and so an earlier place in the log, than a group of another process that overtakes it.
 */
test('the log has each account’s changes in their order, whichever process overtakes whichever', async () => {
  const merchant = await here.createMerchant();
  const open = (code: string) => here.createAccount(merchant, { code });
  const [first, second, third, fourth] = [await open('a'), await open('b'), await open('c'), await open('d')];
  await bystander.lockBalance(second);
  // Has locked the first account and waits for the second.
  const entries = transfer(first, second, 1n).entries.concat(transfer(second, third, 1n).entries);
  const slow = here.post(merchant, { ...transfer(first, second, 1n), entries });
  const waiting = await bystander.untilWaiting();
  const fast = there.post(merchant, transfer(third, fourth, 1n));
  let overtook = false;
  fast.then(
    () => {
      overtook = true;
    },
    () => undefined,
  );
  await until('the other process has committed, or waits', async () => {
    return overtook || (await bystander.waiting()).length > waiting.length;
  });
  await bystander.release();
  for (const reply of [slow, fast]) postedId(await reply);
  expect(await versionsOf(third)).toEqual([1, 2]);
  expect(await versionsOf(second)).toEqual([1, 2]);
});

test('the runtime role appends at the place of its transaction, behind the merchant’s lock, and nowhere else', async () => {
  const merchant = await here.createMerchant();
  const client = new pg.Client({ connectionString: on.runtimeUrl });
  await client.connect();
  const append = async (columns: string, values: string, locked: readonly bigint[] = [merchant]) => {
    await client.query('BEGIN');
    await client.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchant}}`]);
    if (locked.length > 0) await client.query('SELECT lock_merchants($1)', [locked]);
    const said = await client
      .query(
        `INSERT INTO events (merchant_id, type, version, occurred_at, data${columns})
         VALUES ($1, 'account.closed', 1, now(), '{}'${values})`,
        [merchant],
      )
      .then(({ rowCount }) => `${rowCount} row`)
      .catch((error: pg.DatabaseError) => error.constraint ?? error.code);
    await client.query('ROLLBACK');
    return said;
  };
  try {
    expect(await append('', '')).toBe('1 row');
    expect(await append(', xid', ', log_xid()')).toBe('1 row');
    for (const elsewhere of ['(log_xid()::text::bigint + 1)', '(log_xid()::text::bigint - 1)', '9000000000000000000'])
      expect(await append(', xid', `, ${elsewhere}::text::xid8`)).toBe('events_at_their_place');
    expect(await append(', seq', ', 1')).toBe('42501');
    // What an earlier transaction of the connection locked is free again.
    await client.query('SELECT lock_merchants($1)', [[merchant]]);
    for (const locked of [[], [merchant - 1n], [merchant + 1n]])
      expect(await append('', '', locked)).toBe('events_behind_their_lock');
    expect(await append('', '', [merchant, merchant + 1n])).toBe('1 row');
  } finally {
    await client.end();
  }
});

test('a transaction that has its place in the log already gets no merchant’s lock, and a lock that was rolled back is none', async () => {
  const merchant = await here.createMerchant();
  const client = await merchantTransaction(on, merchant);
  const refusal = (query: Promise<unknown>) =>
    query.then(() => 'done').catch(({ code, constraint }) => constraint ?? code);
  const lock = () => refusal(client.query('SELECT lock_merchants($1)', [[merchant]]));
  const append = () =>
    refusal(
      client.query(
        `INSERT INTO events (merchant_id, type, version, occurred_at, data) VALUES ($1, 'account.closed', 1, now(), '{}')`,
        [merchant],
      ),
    );
  try {
    await client.query('SAVEPOINT start');
    await client.query('SELECT pg_current_xact_id()');
    expect(await lock()).toBe('55000');
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    await client.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchant}}`]);
    await client.query('SAVEPOINT start');
    expect(await lock()).toBe('done');
    await client.query('ROLLBACK TO SAVEPOINT start');
    expect(await append()).toBe('events_behind_their_lock');
  } finally {
    await client.end();
  }
});
