import type pg from 'pg';
import { EPOCH_MS, firstSnowflakeAt } from '#kernel/snowflake.js';
import { LEVEL_BITS, LEVELS } from '#ledger/accounts/back-dated-adjustments.js';

/** A history as the writer would have left it, made by set-based SQL: minutes of posting in seconds. */
export interface BulkHistory {
  merchantId: bigint;
  /** Each of them has a counterpart of the next id, so a pair is (id, id + 1). */
  accountIds: bigint[];
  /** Milliseconds since 1970 of the first transaction; one each millisecond. */
  firstMs: number;
  lastMs: number;
}

/** How long vacuuming a table again and again may take. */
const VACUUM_MS = 30_000;

/** Every so many versions of an account a transaction is a hold that nobody has moved yet. */
const HOLD_EVERY = 20;
/** Every so many transactions one has an external_ref, `ref <n>`. */
const REFERENCE_EVERY = 10;

const FILL = `
WITH n AS MATERIALIZED (
  SELECT n, (($2::bigint + n - ${EPOCH_MS}) << 22) AS id, $3::bigint[] AS accounts, n / cardinality($3::bigint[]) + 1 AS version,
         ($3::bigint[])[n % cardinality($3::bigint[]) + 1] AS account, $2::bigint + n AS created_ms,
         CASE WHEN random() < $5::float8 THEN 1 + (random() * 2592000000)::bigint ELSE 0 END AS late_ms
    FROM generate_series(0, $4::int - 1) AS n
), t AS (
  SELECT *, CASE version % ${HOLD_EVERY} WHEN 0 THEN 'pending' ELSE 'posted' END AS kind,
         to_timestamp((created_ms - late_ms)::float8 / 1000) AS effective_at FROM n
), transactions_written AS (
  INSERT INTO transactions (merchant_id, created_at, id, kind, type, amount, currency, external_ref, effective_at, legs)
  SELECT $1, snowflake_time(id), id, kind, 'transfer', 1, 'EUR', CASE n % ${REFERENCE_EVERY} WHEN 0 THEN 'ref ' || n END, effective_at,
         ARRAY[account, version, account + 1, version] FROM t
), states_written AS (
  INSERT INTO transaction_states (merchant_id, transaction_id, status, remaining, reversed, left_amounts)
  SELECT $1, id, 'pending', 1, 0, '{1,1}' FROM t WHERE kind = 'pending'
)
INSERT INTO entries (merchant_id, account_id, account_version, transaction_id, direction, currency, posted_amount, pending_amount,
                     posted_debits, posted_credits, pending_debits, pending_credits, effective_at, type)
SELECT $1, account + side, version, id, 1 - 2 * side, 'EUR', (kind = 'posted')::int, (kind = 'pending')::int,
       (1 - side) * (version - version / ${HOLD_EVERY}), side * (version - version / ${HOLD_EVERY}),
       (1 - side) * (version / ${HOLD_EVERY}), side * (version / ${HOLD_EVERY}), effective_at, 'transfer'
  FROM t CROSS JOIN generate_series(0, 1) AS side`;

const SUM_LATE = `
INSERT INTO late_sums (merchant_id, account_id, level, bucket, posted_debits, posted_credits, pending_debits, pending_credits, newest_version)
SELECT $1, account_id, level, at_ms >> (${LEVEL_BITS} * level),
       coalesce(sum(sign * posted_amount) FILTER (WHERE direction = 1), 0), coalesce(sum(sign * posted_amount) FILTER (WHERE direction = -1), 0),
       coalesce(sum(sign * pending_amount) FILTER (WHERE direction = 1), 0), coalesce(sum(sign * pending_amount) FILTER (WHERE direction = -1), 0),
       coalesce(max(account_version) FILTER (WHERE sign = 1 AND effective_ms >> (${LEVEL_BITS} * level) < created_ms >> (${LEVEL_BITS} * level)), 0)
  FROM (SELECT *, (extract(epoch FROM effective_at) * 1000)::bigint AS effective_ms, (transaction_id >> 22) + ${EPOCH_MS} AS created_ms
          FROM entries WHERE merchant_id = $1) e
 CROSS JOIN LATERAL (VALUES (1, effective_ms), (-1, created_ms)) AS p (sign, at_ms)
 CROSS JOIN generate_series(0, ${LEVELS - 1}) AS level
 WHERE effective_ms <> created_ms
 GROUP BY account_id, level, at_ms >> (${LEVEL_BITS} * level)
HAVING sum(sign * posted_amount) <> 0 OR sum(sign * pending_amount) <> 0
    OR bool_or(sign = 1 AND effective_ms >> (${LEVEL_BITS} * level) < created_ms >> (${LEVEL_BITS} * level))`;

const BALANCE = `
INSERT INTO balances (merchant_id, account_id, posted_debits, posted_credits, pending_debits, pending_credits, version, last_transaction_id)
SELECT DISTINCT ON (account_id) merchant_id, account_id, posted_debits, posted_credits, pending_debits, pending_credits, account_version, transaction_id
  FROM entries WHERE merchant_id = $1 ORDER BY account_id, account_version DESC`;

/**
 * `transactions` spread evenly over `pairs` pairs of accounts; a share of them, `late` (0 to 1), effective up to 30 days
 * before it was recorded. As a superuser, with triggers and foreign keys off: only for databases of one's own.
 */
export async function fillHistory(
  superuser: pg.Client,
  { pairs, transactions, late }: { pairs: number; transactions: number; late: number },
): Promise<BulkHistory> {
  const firstMs = Date.now() - transactions - 60_000;
  const merchantId = firstSnowflakeAt(firstMs - 1_000);
  const accountIds = Array.from({ length: pairs }, (_, index) => merchantId + 1n + 2n * BigInt(index));
  const accounts = `{${accountIds.join(',')}}`;
  await superuser.query('BEGIN; SET LOCAL session_replication_role = replica');
  await superuser.query(
    `INSERT INTO merchants (id, name, time_zone, settlement_cutoff, currencies, created_at)
     VALUES ($1, 'Bulk', 'UTC', '00:00', '{EUR}', snowflake_time($1))`,
    [merchantId],
  );
  await superuser.query(
    `INSERT INTO accounts (merchant_id, id, code, name, currency, normal_side, created_at)
     SELECT $1, id + side, 'a' || (id + side), '', 'EUR', 1 - 2 * side, snowflake_time(id)
       FROM unnest($2::bigint[]) AS id CROSS JOIN generate_series(0, 1) AS side`,
    [merchantId, accounts],
  );
  await superuser.query(FILL, [merchantId, firstMs, accounts, transactions, late]);
  await superuser.query(SUM_LATE, [merchantId]);
  await superuser.query(BALANCE, [merchantId]);
  await superuser.query('COMMIT');
  for (const table of ['accounts', 'balances', 'transactions', 'entries', 'transaction_states', 'late_sums']) {
    await vacuum(superuser, table);
  }
  return { merchantId, accountIds, firstMs, lastMs: firstMs + transactions - 1 };
}

/** Until each page is known to be visible to all: a connection that is being made meanwhile, to whatever database, has a horizon of its own. */
async function vacuum(superuser: pg.Client, table: string): Promise<void> {
  const deadline = Date.now() + VACUUM_MS;
  for (;;) {
    await superuser.query(`VACUUM (ANALYZE) ${table}`);
    const { rows } = await superuser.query(
      'SELECT relallvisible >= relpages AS is_done FROM pg_class WHERE oid = $1::regclass',
      [table],
    );
    if (rows[0].is_done) return;
    if (Date.now() > deadline) throw new Error(`${table} has pages that are not visible to all`);
  }
}
