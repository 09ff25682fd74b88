import type { MigrationInterface, QueryRunner } from 'typeorm';

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const USAGE = `
-- What a merchant's requests came to in an hour, by price; those of operators who acted for it apart.
CREATE TABLE merchant_usage (
  merchant_id bigint NOT NULL,
  hour timestamptz NOT NULL CHECK (extract(epoch FROM hour) % 3600 = 0),
  price text COLLATE "C" NOT NULL,
  by_operator boolean NOT NULL,
  requests bigint NOT NULL CHECK (requests >= 0),
  units bigint NOT NULL CHECK (units >= 0),
  refused bigint NOT NULL CHECK (refused >= 0),
  PRIMARY KEY (merchant_id, hour, price, by_operator)
);
ALTER TABLE merchant_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE merchant_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON merchant_usage USING (merchant_id = ${TENANTS});
GRANT SELECT, INSERT, DELETE, UPDATE (requests, units, refused) ON merchant_usage TO counterfoil_runtime;`;

const FLUSHES = `
-- The last sums that a process has added: those that it adds once more, because it heard no answer, are not added twice.
CREATE TABLE usage_flushes (
  process uuid PRIMARY KEY,
  flush bigint NOT NULL,
  flushed_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, DELETE, UPDATE (flush, flushed_at) ON usage_flushes TO counterfoil_runtime;`;

/** What merchants have used, by hour and price. Adds two tables. */
export class MerchantUsage1765010100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [USAGE, FLUSHES]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE merchant_usage, usage_flushes');
  }
}
