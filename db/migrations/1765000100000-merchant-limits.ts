import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLE = `
-- No row: as settings have it for everybody.
CREATE TABLE merchant_limits (
  merchant_id bigint PRIMARY KEY REFERENCES merchants (id),
  units_per_second integer NOT NULL CHECK (units_per_second BETWEEN 1 AND 100000000),
  burst_units integer NOT NULL CHECK (burst_units BETWEEN 1 AND 100000000),
  units_in_flight integer NOT NULL CHECK (units_in_flight BETWEEN 1 AND 100000000),
  weight integer NOT NULL CHECK (weight BETWEEN 1 AND 100),
  changed_at timestamptz NOT NULL DEFAULT now()
);`;

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
ALTER TABLE merchant_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE merchant_limits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON merchant_limits USING (merchant_id = ${TENANTS});
GRANT SELECT, INSERT, DELETE, UPDATE (units_per_second, burst_units, units_in_flight, weight, changed_at)
  ON merchant_limits TO counterfoil_runtime;`;

/** What merchants may spend, where it is not what everybody may. Adds a table. */
export class MerchantLimits1765000100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [TABLE, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE merchant_limits');
  }
}
