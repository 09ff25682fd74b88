import type { MigrationInterface, QueryRunner } from 'typeorm';

const NAME = `CHECK (provider ~ '^[a-z0-9][a-z0-9_-]{0,63}$')`;
const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const TABLES = `
-- Readable, because signatures are checked with them. The one without an end is the current one.
CREATE TABLE provider_secrets (
  merchant_id bigint NOT NULL REFERENCES merchants (id),
  provider text COLLATE "C" NOT NULL ${NAME},
  id bigint NOT NULL,
  key bytea NOT NULL CHECK (length(key) BETWEEN 16 AND 256),
  expires_at timestamptz,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  PRIMARY KEY (merchant_id, provider, id)
);
CREATE UNIQUE INDEX provider_secrets_current ON provider_secrets (merchant_id, provider) WHERE expires_at IS NULL;
-- What providers sent and signed, as it came: committed before it is acknowledged, then applied. A body that is sent again is the same
-- row, so that replays take no room.
CREATE TABLE provider_inbox (
  merchant_id bigint NOT NULL,
  id bigint NOT NULL,
  provider text COLLATE "C" NOT NULL ${NAME},
  body bytea NOT NULL CHECK (length(body) <= 16777216),
  body_sha256 bytea NOT NULL GENERATED ALWAYS AS (sha256(body)) STORED,
  received_at timestamptz NOT NULL CHECK (received_at = snowflake_time(id)),
  times_received integer NOT NULL DEFAULT 1 CHECK (times_received > 0),
  outcome text NOT NULL DEFAULT 'received' CHECK (outcome IN ('received', 'done', 'undeliverable')),
  -- Of each thing that it told, what became of it the last time it was applied.
  results json,
  CHECK ((results IS NULL) = (outcome = 'received')),
  PRIMARY KEY (merchant_id, id),
  UNIQUE (merchant_id, provider, body_sha256)
);`;

const RIGHTS = `
${['provider_secrets', 'provider_inbox']
  .map(
    (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ${table} USING (merchant_id = ${TENANTS});`,
  )
  .join('')}
GRANT SELECT, INSERT, DELETE, UPDATE (expires_at) ON provider_secrets TO counterfoil_runtime;
GRANT SELECT, INSERT (merchant_id, id, provider, body, received_at), UPDATE (times_received, outcome, results), DELETE
  ON provider_inbox TO counterfoil_runtime;`;

/** Secrets of payment providers, and what they sent to their webhooks. */
export class ProviderInbox1764620000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [TABLES, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE provider_inbox; DROP TABLE provider_secrets');
  }
}
