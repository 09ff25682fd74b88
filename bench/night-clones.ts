import type pg from 'pg';

/** System accounts of one merchant have neighbouring ids; clones' ids leave room for them. */
const ACCOUNTS = 16;
/** A log of its own is not needed, and would keep consumers busy: it counts as forgotten. `merchants` has its own key. */
const LEFT_OUT = new Set(['merchants', 'events', 'event_horizons', 'daily_summaries', 'idempotency_keys', 'api_keys']);

const TENANT_TABLES = `
SELECT c.table_name AS table, array_agg(c.column_name::text ORDER BY c.ordinal_position) AS columns
  FROM information_schema.columns c
 WHERE c.table_schema = 'public' AND c.is_generated = 'NEVER'
   AND EXISTS (SELECT FROM information_schema.columns m
                WHERE m.table_schema = 'public' AND m.table_name = c.table_name AND m.column_name = 'merchant_id')
 GROUP BY c.table_name`;

/** All keys lead with the merchant, so that ids may repeat in another one; accounts' alone are told apart by themselves. */
const OTHERWISE: Record<string, string> = {
  merchant_id: '$1::bigint + k',
  account_id: `account_id + ${ACCOUNTS} * k`,
  // account, version, account, version …
  legs: `ARRAY(SELECT CASE place % 2 WHEN 1 THEN leg + ${ACCOUNTS} * k ELSE leg END
                 FROM unnest(legs) WITH ORDINALITY AS l (leg, place) ORDER BY place)`,
  subject_id: 'CASE subject_id WHEN $1::bigint THEN $1::bigint + k ELSE subject_id END',
};

const MERCHANTS = `
INSERT INTO merchants SELECT (jsonb_populate_record(m, jsonb_build_object('id', $1::bigint + k))).*
  FROM merchants m CROSS JOIN generate_series($2::int, $3::int - 1) AS k WHERE id = $1::bigint`;
const FORGET = `
INSERT INTO event_horizons (merchant_id, xid, seq, occurred_at)
SELECT id, '1', 1, now() + interval '1 day' FROM merchants ON CONFLICT (merchant_id) DO NOTHING`;
/** Nobody settles by himself: the benchmark says when. */
const NOT_DUE = `UPDATE due_rows SET due_at = date_trunc('day', now()) + interval '2 days', try_at = now() + interval '2 days'`;

/**
 * Makes `count` merchants of one and those that have been made of it: all that it has, under other ids. As a superuser, with triggers and foreign keys off: only for
 * databases of one's own.
 */
export async function cloneMerchant(superuser: pg.Client, merchantId: bigint, count: number): Promise<void> {
  const { rows: known } = await superuser.query<{ count: number }>('SELECT count(*)::int AS count FROM merchants');
  const values = [merchantId, known[0]?.count, count];
  const { rows: tables } = await superuser.query<{ table: string; columns: string[] }>(TENANT_TABLES);
  await superuser.query('BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL synchronous_commit = off');
  await superuser.query(MERCHANTS, values);
  for (const { table, columns } of tables) {
    if (!LEFT_OUT.has(table)) await superuser.query(cloneRows(table, columns), values);
  }
  for (const sql of [FORGET, NOT_DUE]) await superuser.query(sql);
  await superuser.query('COMMIT');
  const { rows } = await superuser.query('SELECT count(DISTINCT id) = count(*) AS distinct FROM accounts');
  if (!rows[0].distinct) throw new Error(`a merchant has more than ${ACCOUNTS} accounts, or they are not neighbours`);
  // Alone in its message, as it must be.
  await superuser.query('VACUUM (FREEZE, ANALYZE)');
  await superuser.query('CHECKPOINT');
}

/** Merchant after merchant. */
function cloneRows(table: string, columns: readonly string[]): string {
  const values = columns.map((column) =>
    table === 'accounts' && column === 'id' ? `id + ${ACCOUNTS} * k` : (OTHERWISE[column] ?? quoted(column)),
  );
  return `
INSERT INTO ${table} (${columns.map(quoted).join(', ')})
SELECT ${values.join(', ')}
  FROM generate_series($2::int, $3::int - 1) AS k CROSS JOIN LATERAL (SELECT * FROM ${table} WHERE merchant_id = $1::bigint) AS one`;
}

function quoted(column: string): string {
  return `"${column}"`;
}
