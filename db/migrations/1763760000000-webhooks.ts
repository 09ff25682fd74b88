import type { MigrationInterface, QueryRunner } from 'typeorm';

const ENDPOINTS = `
CREATE TABLE webhook_endpoints (
  merchant_id bigint NOT NULL REFERENCES merchants (id),
  id bigint NOT NULL,
  url text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
  -- null: every type.
  event_types text[] CHECK (cardinality(event_types) > 0),
  status text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled', 'deleted')),
  disabled_reason text CHECK (disabled_reason IN ('failing', 'gone')),
  -- Events of transactions that began before this one are not for the endpoint: exact where clocks would not be.
  since_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  -- First failure since the last success.
  failing_since timestamptz,
  -- One sender at a time. What an earlier holder still does is refused by its epoch.
  lease_epoch bigint NOT NULL DEFAULT 0,
  lease_expires_at timestamptz NOT NULL DEFAULT to_timestamp(0),
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  CHECK ((disabled_reason IS NOT NULL) = (status = 'disabled')),
  PRIMARY KEY (merchant_id, id)
) WITH (fillfactor = 50);
-- Readable, because they sign. The one without an end is the current one.
CREATE TABLE webhook_secrets (
  merchant_id bigint NOT NULL,
  endpoint_id bigint NOT NULL,
  id bigint NOT NULL,
  key bytea NOT NULL CHECK (length(key) BETWEEN 24 AND 64),
  expires_at timestamptz,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  PRIMARY KEY (merchant_id, endpoint_id, id),
  FOREIGN KEY (merchant_id, endpoint_id) REFERENCES webhook_endpoints (merchant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX webhook_secrets_current ON webhook_secrets (merchant_id, endpoint_id) WHERE expires_at IS NULL;`;

const DELIVERIES = `
-- A Snowflake of this table alone: the fan-out is one statement, and has no worker id. Twin of libs/kernel/src/snowflake.ts
-- in its milliseconds; below them counts a sequence, which comes round after four million.
CREATE SEQUENCE webhook_delivery_seq AS bigint;
CREATE FUNCTION webhook_delivery_id() RETURNS bigint LANGUAGE sql VOLATILE
  RETURN ((floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1735689600000) << 22)
         | (nextval('webhook_delivery_seq') & 4194303);
CREATE TABLE webhook_deliveries (
  merchant_id bigint NOT NULL,
  endpoint_id bigint NOT NULL,
  id bigint NOT NULL,
  event_xid xid8 NOT NULL,
  event_seq bigint NOT NULL,
  event_type text NOT NULL,
  status text NOT NULL DEFAULT 'due' CHECK (status IN ('due', 'delivered', 'failed')),
  -- Asked for by hand: tried at once and only once, before the line and not in it.
  redelivery boolean NOT NULL DEFAULT false,
  -- Requests sent, ever; and of them those that count against the retry schedule.
  attempts integer NOT NULL DEFAULT 0,
  tries smallint NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  delivered_at timestamptz,
  PRIMARY KEY (merchant_id, endpoint_id, id),
  UNIQUE (merchant_id, endpoint_id, event_xid, event_seq),
  FOREIGN KEY (merchant_id, endpoint_id) REFERENCES webhook_endpoints (merchant_id, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- What waits, in the order in which it is sent.
CREATE INDEX webhook_deliveries_line ON webhook_deliveries (merchant_id, endpoint_id, redelivery DESC, event_xid, event_seq)
  WHERE status = 'due';
CREATE TABLE webhook_attempts (
  merchant_id bigint NOT NULL,
  delivery_id bigint NOT NULL,
  attempt integer NOT NULL,
  at timestamptz NOT NULL,
  status_code smallint,
  error text,
  duration_ms integer NOT NULL,
  -- The beginning of the answer's body.
  response text,
  CHECK (status_code IS NOT NULL OR error IS NOT NULL),
  PRIMARY KEY (merchant_id, delivery_id, attempt)
);`;

const TABLES = ['webhook_endpoints', 'webhook_secrets', 'webhook_deliveries', 'webhook_attempts'];

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
${TABLES.map(
  (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ${table} USING (merchant_id = ${TENANTS});`,
).join('')}
GRANT SELECT, INSERT, DELETE ON ${TABLES.join(', ')} TO counterfoil_runtime;
GRANT UPDATE (status, disabled_reason, since_xid, failing_since, lease_epoch, lease_expires_at)
  ON webhook_endpoints TO counterfoil_runtime;
GRANT USAGE ON SEQUENCE webhook_delivery_seq TO counterfoil_runtime;
GRANT UPDATE (expires_at) ON webhook_secrets TO counterfoil_runtime;
GRANT UPDATE (status, redelivery, attempts, tries, next_attempt_at, delivered_at) ON webhook_deliveries TO counterfoil_runtime;`;

/** Webhook endpoints, their secrets, what is due to them and what came of it. */
export class Webhooks1763760000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [ENDPOINTS, DELIVERIES, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE ${TABLES.toReversed().join(', ')}`);
    await runner.query('DROP FUNCTION webhook_delivery_id');
    await runner.query('DROP SEQUENCE webhook_delivery_seq');
  }
}
