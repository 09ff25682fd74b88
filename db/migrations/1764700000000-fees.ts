import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLES = `
-- Plans are the platform's: any number of merchants are on one. What a plan says is in its versions.
CREATE TABLE fee_plans (
  id bigint PRIMARY KEY,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id))
);
-- A version counts from valid_from until the next one's. The first one counts since ever: '-infinity', unless it says otherwise.
CREATE TABLE fee_plan_versions (
  plan_id bigint NOT NULL REFERENCES fee_plans (id),
  version integer NOT NULL CHECK (version > 0),
  valid_from timestamptz NOT NULL,
  refund_returns_fee boolean NOT NULL,
  -- As they are shown: an array of {applies_to, currency, percent_bps, fixed, min, max, tier_from}, amounts as strings.
  rules json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (plan_id, version),
  UNIQUE (plan_id, valid_from)
);
-- Which plan a merchant is on: from valid_from until its next row's. '-infinity': since ever.
CREATE TABLE fee_plan_assignments (
  merchant_id bigint NOT NULL REFERENCES merchants (id),
  valid_from timestamptz NOT NULL,
  fee_plan_id bigint NOT NULL REFERENCES fee_plans (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (merchant_id, valid_from)
);`;

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
ALTER TABLE fee_plan_assignments ENABLE ROW LEVEL SECURITY;
ALTER TABLE fee_plan_assignments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON fee_plan_assignments USING (merchant_id = ${TENANTS});
-- Who is on a plan: a new version of it must not change a day that one of them has settled.
CREATE POLICY platform ON fee_plan_assignments FOR SELECT USING (current_setting('counterfoil.platform', true) = 'on');
-- UPDATE of fee_plans is for its row lock alone: who adds a version waits for who begins to settle by the plan.
GRANT SELECT, INSERT, UPDATE (name) ON fee_plans TO counterfoil_runtime;
GRANT SELECT, INSERT (plan_id, version, valid_from, refund_returns_fee, rules) ON fee_plan_versions TO counterfoil_runtime;
-- DELETE: a change that has been planned is superseded by another.
GRANT SELECT, INSERT (merchant_id, valid_from, fee_plan_id), DELETE ON fee_plan_assignments TO counterfoil_runtime;`;

/** Fee plans, their versions, and who is on which. Adds three tables. */
export class Fees1764700000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [TABLES, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE fee_plan_assignments, fee_plan_versions, fee_plans');
  }
}
