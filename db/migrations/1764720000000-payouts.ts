import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLES = `
-- What a merchant is paid: a saga, whose state is written behind the merchant's lock with what it posts.
CREATE TABLE payouts (
  merchant_id bigint NOT NULL,
  id bigint NOT NULL,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  fee bigint NOT NULL,
  destination text NOT NULL CHECK (length(destination) BETWEEN 1 AND 255),
  status text NOT NULL CHECK (status IN ('reserved', 'instructed', 'paid', 'failed', 'returned')),
  bank_reference text,
  failure_code text,
  -- In the order in which they were posted.
  transactions bigint[] NOT NULL,
  -- An array of {status, at, detail, transaction_id}.
  timeline json NOT NULL,
  -- Of the bank's word that stands: a later one replaces it, an earlier one does not.
  bank_sequence integer NOT NULL DEFAULT 0,
  PRIMARY KEY (merchant_id, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- No row: by hand.
CREATE TABLE payout_schedules (
  merchant_id bigint PRIMARY KEY REFERENCES merchants (id),
  schedule text NOT NULL CHECK (schedule IN ('manual', 'daily')),
  destination text NOT NULL CHECK (length(destination) BETWEEN 1 AND 255),
  changed_at timestamptz NOT NULL DEFAULT now()
);`;

const TENANT_TABLES = ['payouts', 'payout_schedules'];

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
${TENANT_TABLES.map(
  (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ${table} USING (merchant_id = ${TENANTS});`,
).join('')}
GRANT SELECT, INSERT, UPDATE (status, bank_reference, failure_code, transactions, timeline, bank_sequence) ON payouts
  TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (schedule, destination, changed_at) ON payout_schedules TO counterfoil_runtime;`;

/** Payouts and who is paid out by itself. Adds two tables. */
export class Payouts1764720000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [TABLES, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE ${TENANT_TABLES.join(', ')}`);
  }
}
