import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLE = `
-- A merchant's later time zones: each from an instant on, the beginning of a day in that zone. Before the first of them it is in
-- merchants.time_zone. '-infinity': for all days, because PostgreSQL could not reckon any in the zone before.
CREATE TABLE merchant_time_zones (
  merchant_id bigint NOT NULL REFERENCES merchants (id),
  from_at timestamptz NOT NULL,
  from_day date NOT NULL,
  time_zone text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (merchant_id, from_at),
  CHECK ((from_at = '-infinity') = (from_day = '-infinity'))
);`;

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
ALTER TABLE merchant_time_zones ENABLE ROW LEVEL SECURITY;
ALTER TABLE merchant_time_zones FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON merchant_time_zones USING (merchant_id = ${TENANTS});
-- The platform's own routes list merchants with their zones.
CREATE POLICY platform ON merchant_time_zones FOR SELECT USING (current_setting('counterfoil.platform', true) = 'on');
-- DELETE: a change that has been planned is superseded by a later one.
GRANT SELECT, INSERT (merchant_id, from_at, from_day, time_zone), DELETE ON merchant_time_zones TO counterfoil_runtime;
GRANT UPDATE (name) ON merchants TO counterfoil_runtime;`;

export class MerchantTimeZones1764201000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [TABLE, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE merchant_time_zones; REVOKE UPDATE (name) ON merchants FROM counterfoil_runtime');
  }
}
