import type { MigrationInterface, QueryRunner } from 'typeorm';

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const UP = `
-- A merchant's accounts with a provider, as its reports name them: rows of any other are not this merchant's.
CREATE TABLE provider_accounts (
  merchant_id bigint NOT NULL REFERENCES merchants (id),
  provider text COLLATE "C" NOT NULL CHECK (provider ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
  accounts text[] NOT NULL CHECK (cardinality(accounts) BETWEEN 1 AND 100),
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (merchant_id, provider)
);
ALTER TABLE provider_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON provider_accounts USING (merchant_id = ${TENANTS});
GRANT SELECT, INSERT, DELETE, UPDATE (accounts, changed_at) ON provider_accounts TO counterfoil_runtime;`;

/** Whose reports a provider's are. Adds a table. */
export class ProviderAccounts1764920300000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE provider_accounts');
  }
}
