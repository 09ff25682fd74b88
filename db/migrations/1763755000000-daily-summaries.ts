import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLES = `
-- Which generation of a read model is served and kept up to date; a rebuild fills the next one and then changes this row.
CREATE TABLE projections (name text PRIMARY KEY, generation integer NOT NULL);
INSERT INTO projections VALUES ('daily_summaries', 1);
-- What an account's entries of one type added up to on one day of its merchant's time zone, by when they were recorded.
CREATE TABLE daily_summaries (
  merchant_id bigint NOT NULL,
  generation integer NOT NULL,
  day date NOT NULL,
  account_id bigint NOT NULL,
  type text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  debit_count bigint NOT NULL CHECK (debit_count >= 0),
  debit_amount numeric NOT NULL CHECK (debit_amount >= 0),
  credit_count bigint NOT NULL CHECK (credit_count >= 0),
  credit_amount numeric NOT NULL CHECK (credit_amount >= 0),
  PRIMARY KEY (merchant_id, generation, day, account_id, type, currency)
) WITH (fillfactor = 80);`;

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
ALTER TABLE daily_summaries ENABLE ROW LEVEL SECURITY;
ALTER TABLE daily_summaries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON daily_summaries USING (merchant_id = ${TENANTS});
GRANT SELECT, UPDATE ON projections TO counterfoil_runtime;
GRANT SELECT, INSERT, DELETE, UPDATE (debit_count, debit_amount, credit_count, credit_amount) ON daily_summaries TO counterfoil_runtime;`;

/** The read model `daily_summaries`, folded from the events log. */
export class DailySummaries1763755000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [TABLES, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE daily_summaries, projections');
  }
}
