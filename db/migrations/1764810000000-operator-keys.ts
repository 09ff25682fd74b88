import type { MigrationInterface, QueryRunner } from 'typeorm';

const TABLE = `
-- Operators of the platform by name, beside those of the environment. A name has one valid key; who had it before keeps its row.
CREATE TABLE operator_keys (
  id bigint PRIMARY KEY,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
  -- The operator who issued it.
  created_by text NOT NULL,
  -- The first of those who issued it that is not the environment; its own name where the environment did. Two keys of one are
  -- no two persons: else whoever proposes would issue a key to approve with.
  responsible text NOT NULL,
  revoked_at timestamptz,
  revoked_by text,
  CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE UNIQUE INDEX operator_keys_secret ON operator_keys (secret_sha256);
CREATE UNIQUE INDEX operator_keys_name ON operator_keys (name) WHERE revoked_at IS NULL;
GRANT SELECT, INSERT, UPDATE (revoked_at, revoked_by) ON operator_keys TO counterfoil_runtime;`;

/** Keys of operators. Adds a table. */
export class OperatorKeys1764810000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE operator_keys');
  }
}
