import type { MigrationInterface, QueryRunner } from 'typeorm';

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const TABLE = `
-- What is to be done about a subject of a merchant once its time has come: written and taken away with what makes it necessary
-- and needless (libs/platform/src/due-rows.ts, docs/adr/0020).
CREATE TABLE due_rows (
  merchant_id bigint NOT NULL,
  kind text NOT NULL CHECK (length(kind) BETWEEN 1 AND 50),
  subject_id bigint NOT NULL,
  -- A row as it was claimed is known again by due_at and attempts: processes have milliseconds.
  due_at timestamptz NOT NULL CHECK (due_at = date_trunc('milliseconds', due_at)),
  try_at timestamptz NOT NULL,
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  last_error text,
  PRIMARY KEY (merchant_id, kind, subject_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON COLUMN due_rows.try_at IS 'When the row may next be claimed: due_at, the end of a lease, or of a wait after a failure';
-- The one index over all merchants of a server: what is due next, whosever it is. Rows come and go at its lower end, so it is
-- vacuumed often.
CREATE INDEX due_rows_next ON due_rows (kind, try_at);`;

/**
 * Row by row, each by its key: a join, planned while the table happens to be empty, would read all that is due in every commit
 * group.
 */
const REMOVE = `
CREATE FUNCTION remove_due_rows(of_kind text, merchants bigint[], subjects bigint[]) RETURNS void
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  FOR i IN 1 .. cardinality(merchants) LOOP
    DELETE FROM due_rows WHERE merchant_id = merchants[i] AND kind = of_kind AND subject_id = subjects[i];
  END LOOP;
END $$;`;

const RIGHTS = `
ALTER TABLE due_rows ENABLE ROW LEVEL SECURITY;
ALTER TABLE due_rows FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON due_rows USING (merchant_id = ${TENANTS});
-- The worker sees what is due to whom; it claims and changes rows as the merchants whose they are.
CREATE POLICY platform ON due_rows FOR SELECT USING (current_setting('counterfoil.platform', true) = 'on');
GRANT SELECT, INSERT (merchant_id, kind, subject_id, due_at, try_at), UPDATE (due_at, try_at, attempts, last_error), DELETE
  ON due_rows TO counterfoil_runtime;`;

export class DueRows1764504000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [TABLE, REMOVE, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION remove_due_rows; DROP TABLE due_rows');
  }
}

/** Row-level security binds an owner who is no superuser, too; the settings end with the transaction. */
async function seeAllMerchants(runner: QueryRunner): Promise<string[]> {
  await runner.query(`SELECT set_config('counterfoil.platform', 'on', true)`);
  const rows = await runner.query('SELECT id FROM merchants ORDER BY id');
  const ids = rows.map(({ id }: { id: unknown }) => String(id));
  await runner.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${ids.join(',')}}`]);
  return ids;
}

const OPEN_HOLDS = 'FROM transaction_states s WHERE s.expires_at IS NOT NULL AND s.remaining > 0';
const INSERT = 'INSERT INTO due_rows (merchant_id, kind, subject_id, due_at, try_at)';
const ROW = `s.merchant_id, 'hold expiry', s.transaction_id, date_trunc('milliseconds', s.expires_at), s.expires_at`;
const MISSING = `${INSERT} SELECT ${ROW} ${OPEN_HOLDS}
   AND NOT EXISTS (SELECT FROM due_rows d WHERE d.merchant_id = s.merchant_id AND d.kind = 'hold expiry' AND d.subject_id = s.transaction_id)`;
const NEEDLESS = `
DELETE FROM due_rows d WHERE kind = 'hold expiry'
   AND NOT EXISTS (SELECT ${OPEN_HOLDS} AND s.merchant_id = d.merchant_id AND s.transaction_id = d.subject_id)`;

/**
 * The holds that there are, merchant by merchant, while a service of the version before is at work: it may be killed at any moment
 * and run again. What that service records and ends meanwhile is put right by the next migration.
 */
export class FillDueRows1764504000001 implements MigrationInterface {
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await runner.startTransaction();
    const merchantIds = await seeAllMerchants(runner);
    await runner.rollbackTransaction();
    for (const merchantId of merchantIds) {
      await runner.startTransaction();
      try {
        await runner.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchantId}}`]);
        await runner.query(`${MISSING} AND s.merchant_id = $1`, [merchantId]);
        await runner.commitTransaction();
      } catch (error) {
        await runner.rollbackTransaction();
        throw error;
      }
    }
  }

  async down(): Promise<void> {
    // The rows go with the table.
  }
}

/**
 * From here on a hold's time is its due row's. The old column goes with its index: a process of the version before, should one
 * still run, can record no hold any more, and so none without its row.
 */
export class HoldsAreDueRows1764504000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('LOCK TABLE transaction_states IN ACCESS EXCLUSIVE MODE');
    await seeAllMerchants(runner);
    await runner.query(NEEDLESS);
    await runner.query(MISSING);
    await runner.query('ALTER TABLE transaction_states DROP COLUMN expires_at');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('LOCK TABLE transaction_states IN ACCESS EXCLUSIVE MODE');
    await seeAllMerchants(runner);
    await runner.query(`
ALTER TABLE transaction_states ADD COLUMN expires_at timestamptz;
UPDATE transaction_states s SET expires_at = t.expires_at FROM transactions t
 WHERE t.merchant_id = s.merchant_id AND t.created_at = snowflake_time(s.transaction_id) AND t.id = s.transaction_id
   AND t.expires_at IS NOT NULL;
CREATE INDEX transaction_states_due ON transaction_states (merchant_id, expires_at)
  WHERE expires_at IS NOT NULL AND remaining > 0;
DELETE FROM due_rows WHERE kind = 'hold expiry'`);
  }
}
