import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { FOREIGN_CHANGES, FOREIGN_INSERTS, NOT_OF_POSTINGS, SEEN_BY_PLATFORM } from './support/foreign-rows.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { settleADay } from './support/settlement.js';
import { expectVerified } from './support/verified.js';

/** What PostgreSQL itself refuses, tried in SQL as the role that the service runs under. */

describe('PostgreSQL refuses the runtime role', () => {
  let on: TestDatabase;
  let ledger: TestLedger;
  let client: pg.Client;
  let merchant: bigint;
  let foreign: bigint;
  let cash: bigint;
  let payable: bigint;

  beforeAll(async () => {
    on = await freshDatabase();
    ledger = await TestLedger.open(on);
    [merchant, foreign] = [await ledger.createMerchant(), await ledger.createMerchant()];
    cash = await ledger.createAccount(merchant, { code: 'cash', normalSide: 'debit' });
    payable = await ledger.createAccount(merchant, { code: 'payable' });
    postedId(
      await ledger.post(merchant, transfer(cash, payable, 100n, { effectiveAtMs: Date.now() - 10_000 }), 'first'),
    );
    postedId(await ledger.post(merchant, transfer(cash, payable, 100n, { pending: true })));
    const theirs = [
      await ledger.createAccount(foreign, { code: 'a' }),
      await ledger.createAccount(foreign, { code: 'b' }),
    ] as const;
    postedId(await ledger.post(foreign, transfer(...theirs, 5n, { effectiveAtMs: Date.now() - 10_000 })));
    postedId(await ledger.post(foreign, transfer(...theirs, 5n, { pending: true })));
    await settleADay(ledger, foreign);
    await ledger.database.transaction({ merchantIds: [foreign] }, Deadline.after(5_000), async (db) => {
      for (const table of NOT_OF_POSTINGS) await db.query({ text: FOREIGN_INSERTS[table] ?? '', values: [foreign] });
    });
    // Only forget_events writes these.
    await asAdmin(on.ownerUrl, (owner) => owner.query(FOREIGN_INSERTS.event_horizons ?? '', [foreign]));
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
    await enter(merchant);
  });
  afterEach(async () => {
    await client.query('ROLLBACK');
    await expectVerified(on);
  });

  const enter = (merchantId: bigint): Promise<unknown> =>
    client.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchantId}}`]);
  const refusal = async (text: string, values: unknown[] = []): Promise<{ code?: string; constraint?: string }> => {
    try {
      await client.query(text, values);
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error;
      return { ...(error.code && { code: error.code }), ...(error.constraint && { constraint: error.constraint }) };
    }
    return {};
  };

  describe.each(['transactions', 'entries', 'events', 'accounts'])('to rewrite history in %s', (table) => {
    test.each([
      ['UPDATE', `UPDATE ${table} SET merchant_id = merchant_id`],
      ['DELETE', `DELETE FROM ${table}`],
      ['TRUNCATE', `TRUNCATE ${table} CASCADE`],
    ])('by %s', async (_verb, sql) => {
      expect(await refusal(sql)).toEqual({ code: '42501' });
    });
  });

  const ENTRY = `INSERT INTO entries (merchant_id, account_id, account_version, transaction_id, direction, currency, posted_amount,
    pending_amount, posted_debits, posted_credits, pending_debits, pending_credits, effective_at, type) VALUES `;
  type Totals = 'posted' | 'pending' | 'debits' | 'credits' | 'pendingDebits' | 'pendingCredits';
  type Line = Partial<
    Record<'id' | 'account' | 'version', bigint> & Record<'direction' | Totals, number> & { currency: string }
  >;
  /** A line on cash or payable after the two postings of the set-up. */
  const line = (more: Line = {}): string => {
    const { direction = 1, posted: amount = 7, id = ledger.ids.next(), currency = 'EUR' } = more;
    const values = {
      account: direction === 1 ? cash : payable,
      version: 3n,
      pending: 0,
      debits: direction === 1 ? 100 + amount : 0,
      credits: direction === 1 ? 0 : 100 + amount,
      pendingDebits: direction === 1 ? 100 : 0,
      pendingCredits: direction === 1 ? 0 : 100,
      ...more,
    };
    return `(${merchant}, ${values.account}, ${values.version}, ${id}, ${direction}, '${currency}', ${amount}, ${values.pending},
      ${values.debits}, ${values.credits}, ${values.pendingDebits}, ${values.pendingCredits}, now(), 'transfer')`;
  };
  /** Both lines of one transaction. */
  const pair = (id: bigint, debit: Line = {}, credit: Line = {}): string =>
    `${ENTRY}${line({ ...debit, id })}, ${line({ direction: -1, ...credit, id })}`;

  /** Entries with the balances that belong to them, in one statement, as the writer has it. */
  const withBalances = (id: bigint, entries: string): string => `
    WITH lines AS (${entries})
    UPDATE balances SET version = 3, last_transaction_id = ${id},
      posted_debits = CASE account_id WHEN ${cash} THEN 107 ELSE 0 END,
      posted_credits = CASE account_id WHEN ${cash} THEN 0 ELSE 107 END
     WHERE account_id IN (${cash}, ${payable})`;

  test('nothing when entries and balances agree (what the refusals below are measured against)', async () => {
    const id = ledger.ids.next();
    expect(await refusal(withBalances(id, pair(id)))).toEqual({});
  });

  test('entries without their balances', async () => {
    const sql = pair(ledger.ids.next());
    expect(await refusal(sql)).toEqual({ code: '23514', constraint: 'entries_reach_balance' });
  });

  test('entries that do not sum to zero', async () => {
    const sql = pair(ledger.ids.next(), {}, { posted: 6 });
    expect(await refusal(sql)).toEqual({ code: '23514', constraint: 'entries_zero_sum' });
  });

  test('a single entry', async () => {
    expect(await refusal(ENTRY + line())).toEqual({ code: '23514', constraint: 'entries_zero_sum' });
  });

  test('entries that only balance across two transactions', async () => {
    expect(await refusal(`${ENTRY}${line()}, ${line({ direction: -1 })}`)).toEqual({
      code: '23514',
      constraint: 'entries_zero_sum',
    });
  });

  test('entries that only balance across two currencies', async () => {
    const sql = pair(ledger.ids.next(), {}, { currency: 'USD' });
    expect(await refusal(sql)).toEqual({ code: '23514', constraint: 'entries_zero_sum' });
  });

  test.each([
    ['posted', { debits: 108 }],
    ['pending', { pendingDebits: 99 }],
    ["the other side's", { credits: 1 }],
  ])('a running %s total that does not follow', async (_which, more) => {
    const sql = pair(ledger.ids.next(), more);
    expect(await refusal(sql)).toEqual({ code: '23514', constraint: 'entries_running_balance' });
  });

  test('an entry whose version leaves a gap', async () => {
    const id = ledger.ids.next();
    const sql = pair(id, {}, { version: 4n });
    expect(await refusal(sql)).toEqual({ code: '23514', constraint: 'entries_running_balance' });
  });

  test('a second entry at the same version', async () => {
    const sql = pair(ledger.ids.next(), {}, { version: 2n });
    expect(await refusal(sql)).toEqual({ code: '23505', constraint: 'entries_pkey' });
  });

  test.each([
    ['an amount that is off', 'posted_debits = posted_debits + 1'],
    ['a version without an entry', 'version = version + 1'],
    ['another newest transaction', 'last_transaction_id = last_transaction_id + 1'],
  ])('a balance with %s', async (_what, change) => {
    const sql = `UPDATE balances SET ${change} WHERE account_id = $1`;
    expect(await refusal(sql, [cash])).toEqual({ code: '23514', constraint: 'balances_follow_entries' });
  });

  test('a balance that goes back to an older version', async () => {
    const sql = 'UPDATE balances SET version = version - 1 WHERE account_id = $1';
    expect(await refusal(sql, [cash])).toEqual({ code: '23514', constraint: 'balances_go_forward' });
  });

  test('a balance that goes back to an older entry, in everything', async () => {
    const sql = `UPDATE balances b SET version = e.account_version, last_transaction_id = e.transaction_id,
        posted_debits = e.posted_debits, posted_credits = e.posted_credits,
        pending_debits = e.pending_debits, pending_credits = e.pending_credits
      FROM entries e WHERE e.account_id = b.account_id AND e.account_version = 1 AND b.account_id = $1`;
    expect(await refusal(sql, [cash])).toEqual({ code: '23514', constraint: 'balances_go_forward' });
  });

  test('a balance below zero on one of its sides', async () => {
    expect((await refusal('UPDATE balances SET posted_debits = -1 WHERE account_id = $1', [cash])).code).toBe('23514');
  });

  test('a balance that moves to another account or merchant', async () => {
    expect(await refusal('UPDATE balances SET account_id = 1')).toEqual({ code: '42501' });
    await client.query('ROLLBACK; BEGIN');
    await enter(merchant);
    expect(await refusal('UPDATE balances SET merchant_id = 1')).toEqual({ code: '42501' });
  });

  test('a new balance with money in it', async () => {
    const id = ledger.ids.next();
    await client.query(
      `INSERT INTO accounts (merchant_id, id, code, name, currency, normal_side, created_at) VALUES ($1, $2, 'new', 'new', 'EUR', 1, snowflake_time($2))`,
      [merchant, id],
    );
    const sql = 'INSERT INTO balances (merchant_id, account_id, posted_debits) VALUES ($1, $2, 1000000)';
    expect(await refusal(sql, [merchant, id])).toEqual({ code: '42501' });
  });

  test.each([
    [
      'transactions',
      `INSERT INTO transactions (merchant_id, created_at, id, kind, type, amount, currency, effective_at, legs)
                      VALUES ($1, snowflake_time($2) + interval '1 millisecond', $2, 'posted', 't', 1, 'EUR', now(), '{1,1,2,1}')`,
    ],
    [
      'accounts',
      `INSERT INTO accounts (merchant_id, id, code, name, currency, normal_side, created_at)
                  VALUES ($1, $2, 'x', 'x', 'EUR', 1, snowflake_time($2) - interval '1 millisecond')`,
    ],
    [
      'api_keys',
      `INSERT INTO api_keys (merchant_id, id, secret_sha256, hint, created_at) VALUES ($1, $2, sha256('y'), 'y', now() - interval '1 day')`,
    ],
  ])("a created_at in %s that is not its Snowflake's millisecond", async (_table, sql) => {
    expect((await refusal(sql, [merchant, ledger.ids.next()])).code).toBe('23514');
  });

  test('to make tables, functions or triggers, or to turn triggers off', async () => {
    const attempts = [
      'CREATE TABLE mine (id int)',
      'CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1',
      'ALTER TABLE entries DISABLE TRIGGER ALL',
      'ALTER TABLE entries NO FORCE ROW LEVEL SECURITY',
      'DROP POLICY tenant ON entries',
      'SET session_replication_role = replica',
      'SET ROLE counterfoil',
    ];
    for (const sql of attempts) {
      expect({ sql, ...(await refusal(sql)) }).toEqual({ sql, code: '42501' });
      await client.query('ROLLBACK; BEGIN');
    }
  });

  test('its place: it owns nothing, is no superuser, bypasses nothing', async () => {
    const { rows } = await client.query(`
      SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
             (SELECT count(*) FROM pg_class WHERE relowner = r.oid) + (SELECT count(*) FROM pg_proc WHERE proowner = r.oid) AS owned,
             (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS memberships
        FROM pg_roles r WHERE rolname = current_user`);
    expect(rows).toEqual([
      {
        rolsuper: false,
        rolbypassrls: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        owned: '0',
        memberships: '0',
      },
    ]);
  });

  describe('other tenants', () => {
    let tables: string[];

    beforeAll(async () => {
      tables = await tenantTables(client);
    });

    test('every table with a merchant_id has row-level security, forced, and a policy for its tenant', async () => {
      const { rows } = await client.query(
        `
        SELECT relname FROM pg_class c WHERE relname = ANY ($1::text[]) AND relnamespace = 'public'::regnamespace
           AND NOT (relrowsecurity AND relforcerowsecurity
                    AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*'
                                   AND pg_get_expr(p.polqual, p.polrelid) LIKE '%counterfoil.merchant_ids%'))`,
        [[...tables, 'merchants']],
      );
      expect(rows).toEqual([]);
      expect(tables).toEqual(
        expect.arrayContaining([
          'accounts',
          'api_keys',
          'balances',
          'entries',
          'events',
          'idempotency_keys',
          'late_sums',
          'transaction_states',
          'transactions',
        ]),
      );
    });

    test('their rows are invisible, in every table', async () => {
      await enter(foreign);
      const theirs = await rowsOf(client, tables);
      expect(theirs.filter(({ rows }) => rows === 0)).toEqual([]);
      await enter(merchant);
      for (const { table } of theirs) {
        const { rows } = await client.query(`SELECT count(*)::int AS seen FROM ${table} WHERE merchant_id <> $1`, [
          merchant,
        ]);
        expect({ table, ...rows[0] }).toEqual({ table, seen: 0 });
      }
    });

    test.each([
      ['no setting', undefined],
      ['an empty setting', ''],
      ['an empty list', '{}'],
    ])('%s shows no row of any table', async (_what, setting) => {
      await client.query('ROLLBACK; BEGIN');
      if (setting !== undefined)
        await client.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [setting]);
      expect((await rowsOf(client, [...tables, 'merchants'])).filter(({ rows }) => rows > 0)).toEqual([]);
    });

    test('their rows cannot be inserted, in any table', async () => {
      expect(Object.keys(FOREIGN_INSERTS).sort()).toEqual([...tables, 'merchants'].sort());
      for (const [table, sql] of Object.entries(FOREIGN_INSERTS)) {
        await client.query('ROLLBACK; BEGIN');
        await enter(merchant);
        const values = sql.includes('$1') ? [foreign] : [];
        expect({ table, ...(await refusal(sql, values)) }).toEqual({ table, code: '42501' });
      }
    });

    test('their rows cannot be changed or deleted', async () => {
      for (const change of FOREIGN_CHANGES) {
        const sql = `${change} WHERE merchant_id = ${foreign}`;
        expect({ sql, rows: (await client.query(sql)).rowCount }).toEqual({ sql, rows: 0 });
      }
    });

    test('the platform setting shows the list of merchants and what this table says, and nothing else of theirs', async () => {
      await client.query(`ROLLBACK; BEGIN; SELECT set_config('counterfoil.platform', 'on', true)`);
      expect((await client.query('SELECT id FROM merchants')).rowCount).toBe(2);
      expect(await seen(client, tables)).toEqual(SEEN_BY_PLATFORM);
      expect((await client.query(`UPDATE merchants SET name = 'mine'`)).rowCount).toBe(0);
      expect((await refusal(`UPDATE merchants SET time_zone = 'UTC'`)).code).toBe('42501');
    });

    test('the relay setting shows the log and what waits for it, to read', async () => {
      await client.query(`ROLLBACK; BEGIN; SELECT set_config('counterfoil.platform', 'relay', true)`);
      expect(await seen(client, [...tables, 'merchants'])).toEqual([
        'dead_letters',
        'event_horizons',
        'events',
        'merchant_positions',
        'parked_streams',
      ]);
      for (const sql of [`UPDATE dead_letters SET status = 'redriving'`, 'DELETE FROM parked_streams']) {
        expect({ sql, rows: (await client.query(sql)).rowCount }).toEqual({ sql, rows: 0 });
      }
    });
  });

  test('a tenant setting does not outlive its transaction on a pooled connection', async () => {
    const pool = new Database(on.runtimeUrl, {
      poolSize: 1,
      connectTimeoutMs: 2_000,
      applicationName: 'one connection',
    });
    const count = { text: 'SELECT count(*)::int AS seen, pg_backend_pid() AS backend FROM accounts' };
    try {
      const [mine] = await pool.read<{ seen: number; backend: number }>(
        { merchantIds: [merchant] },
        Deadline.after(5_000),
        count,
      );
      const failed = pool.transaction({ merchantIds: [merchant] }, Deadline.after(5_000), (db) =>
        db.query({ text: 'SELECT 1 / 0' }),
      );
      await expect(failed).rejects.toMatchObject({ code: '22012' });
      const [nobodys] = await pool.read<{ seen: number; backend: number }>(
        { merchantIds: [] },
        Deadline.after(5_000),
        count,
      );
      expect(mine?.seen).toBe(2);
      expect(nobodys).toEqual({ seen: 0, backend: mine?.backend });
    } finally {
      await pool.close();
    }
    // And where nobody sets anything at all.
    await client.query('COMMIT');
    expect((await client.query('SELECT 1 FROM accounts')).rowCount).toBe(0);
    await client.query('BEGIN');
  });

  test('keys and indexes of every tenant table lead with merchant_id, but for these', async () => {
    const exceptions = {
      due_rows_next: 'the worker asks what is due next, whosever it is, instead of asking merchant by merchant',
      events_partition: 'the relay reads one partition of all tenants in the order of commits',
      idempotency_keys_age: 'block ranges for the purge by age: a B-tree would cost every posting',
    };
    const { rows } = await client.query<{ index: string }>(
      `
      SELECT i.relname AS index FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
       WHERE t.relname = ANY ($1::text[]) AND t.relnamespace = 'public'::regnamespace
         AND pg_get_indexdef(x.indexrelid, 1, true) <> 'merchant_id' ORDER BY 1`,
      [await tenantTables(client)],
    );
    expect(rows.map(({ index }) => index)).toEqual(Object.keys(exceptions));
  });

  test('a fence token that the purge has passed', async () => {
    await client.query('UPDATE write_fence_horizon SET token = 1000');
    expect(await refusal('INSERT INTO write_fences (token) VALUES (1000)')).toEqual({
      code: '23514',
      constraint: 'write_fence_horizon',
    });
    await client.query('ROLLBACK; BEGIN');
    await client.query('UPDATE write_fence_horizon SET token = 1000');
    expect(await refusal('INSERT INTO write_fences (token) VALUES (1001)')).toEqual({});
  });
});

/** Every table that has a merchant_id, whoever added it. */
async function tenantTables(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ relname: string }>(`
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'merchant_id' AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1`);
  return rows.map(({ relname }) => relname);
}

/** The tables that show any row. */
async function seen(client: pg.Client, tables: readonly string[]): Promise<string[]> {
  return (await rowsOf(client, tables)).flatMap(({ table, rows }) => (rows > 0 ? [table] : [])).sort();
}

async function rowsOf(client: pg.Client, tables: readonly string[]): Promise<{ table: string; rows: number }[]> {
  const counted = [];
  for (const table of tables) {
    const { rows } = await client.query(`SELECT count(*)::int AS rows FROM ${table}`);
    counted.push({ table, rows: rows[0].rows as number });
  }
  return counted;
}
