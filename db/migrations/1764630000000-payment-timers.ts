import type { MigrationInterface, QueryRunner } from 'typeorm';

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

// Contracts: nothing that processes of the release before write or read; the two constraints are replaced by wider ones.
const DISCARDED = `
-- An operator may take a fact that waits out of the set for good.
ALTER TABLE payment_facts DROP CONSTRAINT payment_facts_outcome_check, DROP CONSTRAINT payment_facts_check1,
  ADD CONSTRAINT payment_facts_outcome_check CHECK (outcome IN ('applied', 'stale', 'parked', 'rejected', 'discarded')),
  ADD CONSTRAINT payment_facts_check1 CHECK ((outcome IN ('rejected', 'discarded')) = (reason IS NOT NULL));`;

const LETTERS = `
-- What a room gave up on and is no event of the log: known by the room's own id of it.
ALTER TABLE dead_letters ALTER COLUMN xid DROP NOT NULL, ALTER COLUMN seq DROP NOT NULL, ALTER COLUMN event_version DROP NOT NULL,
  ADD COLUMN subject_id bigint, ADD COLUMN data json,
  ADD CONSTRAINT dead_letters_about CHECK (
    (xid IS NULL) = (subject_id IS NOT NULL) AND (seq IS NULL) = (xid IS NULL) AND (event_version IS NULL) = (xid IS NULL)
    AND (data IS NULL) = (subject_id IS NULL));
CREATE UNIQUE INDEX dead_letters_subject ON dead_letters (merchant_id, consumer, subject_id) WHERE subject_id IS NOT NULL;`;

const QUERIES = `
-- Where a provider is asked about payments, and with what. Readable, because it is sent.
CREATE TABLE provider_queries (
  merchant_id bigint NOT NULL REFERENCES merchants (id),
  provider text COLLATE "C" NOT NULL CHECK (provider ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
  -- Null: the provider's own.
  url text CHECK (length(url) <= 2048),
  token text NOT NULL CHECK (length(token) BETWEEN 1 AND 1000),
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (merchant_id, provider)
);
-- How often a provider was asked about what is kept under a subject, and what it answered last.
CREATE TABLE payment_queries (
  merchant_id bigint NOT NULL,
  subject text COLLATE "C" NOT NULL CHECK (length(subject) BETWEEN 3 AND 400),
  times integer NOT NULL DEFAULT 1 CHECK (times > 0),
  asked_at timestamptz NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('told', 'nothing', 'failed')),
  detail text,
  PRIMARY KEY (merchant_id, subject)
) WITH (fillfactor = 70);`;

const RIGHTS = `
${['provider_queries', 'payment_queries']
  .map(
    (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ${table} USING (merchant_id = ${TENANTS});`,
  )
  .join('')}
GRANT SELECT, INSERT, DELETE, UPDATE (url, token, changed_at) ON provider_queries TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (times, asked_at, outcome, detail) ON payment_queries TO counterfoil_runtime;`;

/** Facts that are discarded, dead letters of what is no event, and questions to providers (docs/payments.md). */
export class PaymentTimers1764630000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [DISCARDED, LETTERS, QUERIES, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
DROP TABLE payment_queries, provider_queries;
DELETE FROM dead_letters WHERE subject_id IS NOT NULL;
ALTER TABLE dead_letters DROP COLUMN subject_id, DROP COLUMN data, ALTER COLUMN xid SET NOT NULL, ALTER COLUMN seq SET NOT NULL,
  ALTER COLUMN event_version SET NOT NULL;
UPDATE payment_facts SET outcome = 'rejected' WHERE outcome = 'discarded';
ALTER TABLE payment_facts DROP CONSTRAINT payment_facts_outcome_check, DROP CONSTRAINT payment_facts_check1,
  ADD CONSTRAINT payment_facts_outcome_check CHECK (outcome IN ('applied', 'stale', 'parked', 'rejected')),
  ADD CONSTRAINT payment_facts_check1 CHECK ((outcome = 'rejected') = (reason IS NOT NULL))`);
  }
}
