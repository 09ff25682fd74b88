import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The column alone, so that the table's lock is held for a moment. */
export class BackDatedVersions1764200000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
ALTER TABLE late_sums ADD COLUMN newest_version bigint NOT NULL DEFAULT 0 CHECK (newest_version >= 0);
COMMENT ON COLUMN late_sums.newest_version IS
  'Highest account_version of the entries that were dated back into this node from beyond its end; 0: none';`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE late_sums DROP COLUMN newest_version');
  }
}

/** $1 merchant. Twin of lateSums in libs/ledger/src/late-sums.ts: 7 levels of 6 bits, Snowflakes since 2025. */
const FILL = `
INSERT INTO late_sums AS s (merchant_id, account_id, level, bucket, posted_debits, posted_credits, pending_debits, pending_credits, newest_version)
SELECT $1, account_id, level, effective_ms >> (6 * level), 0, 0, 0, 0, max(account_version)
  FROM (SELECT account_id, account_version, (extract(epoch FROM effective_at) * 1000)::bigint AS effective_ms,
               (transaction_id >> 22) + 1735689600000 AS created_ms
          FROM entries WHERE merchant_id = $1) e
 CROSS JOIN generate_series(0, 6) AS level
 WHERE effective_ms >> (6 * level) < created_ms >> (6 * level)
 GROUP BY account_id, level, effective_ms >> (6 * level)
ON CONFLICT (merchant_id, account_id, level, bucket) DO UPDATE
  SET newest_version = greatest(s.newest_version, excluded.newest_version)`;

/**
 * Fills the column from the entries, merchant by merchant, each in a transaction of its own and under the lock that its writer
 * takes: a service may run meanwhile, and it may be killed at any moment and run again.
 */
export class FillBackDatedVersions1764200000001 implements MigrationInterface {
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    for (let after = '0'; ; ) {
      const merchantId = await nextMerchant(runner, after);
      if (merchantId === undefined) return;
      await runner.startTransaction();
      try {
        await runner.query(`SELECT pg_advisory_xact_lock($1::bigint)`, [merchantId]);
        await runner.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchantId}}`]);
        await runner.query(FILL, [merchantId]);
        await runner.commitTransaction();
      } catch (error) {
        await runner.rollbackTransaction();
        throw error;
      }
      after = merchantId;
    }
  }

  async down(): Promise<void> {
    // The column goes with the migration before.
  }
}

/** Row-level security binds an owner who is no superuser, too. */
async function nextMerchant(runner: QueryRunner, after: string): Promise<string | undefined> {
  await runner.startTransaction();
  try {
    await runner.query(`SELECT set_config('counterfoil.platform', 'on', true)`);
    const [row] = await runner.query('SELECT id FROM merchants WHERE id > $1 ORDER BY id LIMIT 1', [after]);
    return row && String(row.id);
  } finally {
    await runner.rollbackTransaction();
  }
}
