import type { MigrationInterface, QueryRunner } from 'typeorm';

const PAYMENTS = `
-- What the facts of a payment come to (libs/payments/src/position.ts). Behind its merchant's lock alone is it written, with its facts,
-- its transaction and its event.
CREATE TABLE payments (
  merchant_id bigint NOT NULL,
  id bigint NOT NULL,
  -- What its facts are kept under: '<provider>/<provider_ref>', or 'payment/<id>' for one that was opened without a reference.
  subject text COLLATE "C" NOT NULL CHECK (length(subject) BETWEEN 3 AND 400),
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  provider text COLLATE "C",
  provider_ref text COLLATE "C",
  capture text CHECK (capture IN ('automatic', 'manual')),
  description text,
  metadata json,
  expires_at timestamptz,
  status text NOT NULL CHECK (status IN ('authorised', 'failed', 'voided', 'expired', 'captured', 'partially_captured', 'refunded',
                                         'partially_refunded')),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  amount bigint NOT NULL CHECK (amount >= 0),
  amount_authorised bigint NOT NULL CHECK (amount_authorised >= 0),
  amount_capturable bigint NOT NULL CHECK (amount_capturable >= 0),
  amount_captured bigint NOT NULL CHECK (amount_captured >= 0),
  amount_refunded bigint NOT NULL CHECK (amount_refunded >= 0),
  amount_disputed bigint NOT NULL CHECK (amount_disputed >= 0),
  amount_settled bigint NOT NULL CHECK (amount_settled >= 0),
  -- Its captures, refunds, disputes and findings as they are shown.
  parts json NOT NULL,
  -- In the order in which they were posted; the newest effective_at of them.
  transactions bigint[] NOT NULL,
  effective_until timestamptz,
  PRIMARY KEY (merchant_id, id),
  UNIQUE (merchant_id, subject)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX payments_status ON payments (merchant_id, status, id);
CREATE INDEX payments_provider ON payments (merchant_id, provider, id) WHERE provider IS NOT NULL;
CREATE INDEX payments_provider_ref ON payments (merchant_id, provider_ref, id) WHERE provider_ref IS NOT NULL;`;

const FACTS = `
-- A grow-only set: what providers told and merchants asked for, also before there is a payment. Nothing is taken away, and only what
-- came of a fact changes.
CREATE TABLE payment_facts (
  merchant_id bigint NOT NULL,
  subject text COLLATE "C" NOT NULL CHECK (length(subject) BETWEEN 3 AND 400),
  fact_id text COLLATE "C" NOT NULL CHECK (length(fact_id) BETWEEN 1 AND 400),
  -- In the order in which they were received.
  id bigint NOT NULL,
  received_at timestamptz NOT NULL CHECK (received_at = snowflake_time(id)),
  occurred_at timestamptz NOT NULL,
  source text NOT NULL CHECK (source IN ('request', 'provider')),
  event_id text NOT NULL CHECK (length(event_id) BETWEEN 1 AND 400),
  type text NOT NULL,
  amount bigint CHECK (amount >= 0),
  currency text CHECK (currency ~ '^[A-Z]{3}$'),
  object_ref text COLLATE "C",
  -- What else it says: amount_kind, sequence, fee, stage, reason, final.
  more json NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('applied', 'stale', 'parked', 'rejected')),
  -- Why it was rejected.
  reason text,
  -- Another content was known under the same identity: kept as it was told, and no member of the set.
  contradicts boolean NOT NULL DEFAULT false,
  transaction_id bigint,
  CHECK ((outcome = 'rejected') = (reason IS NOT NULL)),
  CHECK (NOT contradicts OR outcome = 'rejected'),
  PRIMARY KEY (merchant_id, subject, fact_id)
) WITH (fillfactor = 90);
-- By what a processor's report names.
CREATE INDEX payment_facts_object ON payment_facts (merchant_id, object_ref) WHERE object_ref IS NOT NULL;
-- What waits for its cause, oldest first.
CREATE INDEX payment_facts_parked ON payment_facts (merchant_id, id) WHERE outcome = 'parked';`;

const TABLES = ['payments', 'payment_facts'];

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
${TABLES.map(
  (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ${table} USING (merchant_id = ${TENANTS});`,
).join('')}
GRANT SELECT, INSERT ON ${TABLES.join(', ')} TO counterfoil_runtime;
GRANT UPDATE (capture, description, metadata, expires_at, status, currency, amount, amount_authorised, amount_capturable,
              amount_captured, amount_refunded, amount_disputed, amount_settled, parts, transactions, effective_until)
  ON payments TO counterfoil_runtime;
GRANT UPDATE (outcome, reason, transaction_id) ON payment_facts TO counterfoil_runtime;`;

/** Payments and the facts that they follow from. Adds two tables. */
export class Payments1764610000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [PAYMENTS, FACTS, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE ${TABLES.join(', ')}`);
  }
}
