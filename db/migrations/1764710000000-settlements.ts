import type { MigrationInterface, QueryRunner } from 'typeorm';

const ITEMS = `
-- What an entry on merchant_payable is of, where its money comes from a capability: written by that capability, with the entry. An
-- entry without a row here was posted by hand.
CREATE TABLE payable_items (
  merchant_id bigint NOT NULL,
  account_id bigint NOT NULL,
  account_version bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('payment', 'refund', 'dispute', 'payout', 'fees')),
  -- The payment, the payout, or the settlement.
  subject_id bigint NOT NULL,
  -- What is to be charged for it, where its capability knows: of payouts alone.
  fee bigint CHECK ((fee IS NOT NULL) = (kind = 'payout')),
  PRIMARY KEY (merchant_id, account_id, account_version)
);
-- What a payment was charged, when some of it is given back.
CREATE INDEX payable_items_subject ON payable_items (merchant_id, subject_id, account_version);`;

const SETTLEMENTS = `
-- One for each business day and currency of a merchant in which something was settled. Written once, by the commit group that posts
-- its fees, and never changed.
CREATE TABLE settlements (
  merchant_id bigint NOT NULL,
  id bigint NOT NULL,
  business_date date NOT NULL,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  account_id bigint NOT NULL,
  starts_at timestamptz NOT NULL,
  -- A day that a zone skips lasts no time, and may still have adjustments.
  ends_at timestamptz NOT NULL CHECK (ends_at >= starts_at),
  gross bigint NOT NULL,
  refunds bigint NOT NULL,
  disputes bigint NOT NULL,
  other bigint NOT NULL,
  adjustments bigint NOT NULL,
  fees bigint NOT NULL,
  net bigint NOT NULL CHECK (net = gross - refunds - disputes + other + adjustments - fees),
  items bigint NOT NULL CHECK (items > 0),
  transaction_id bigint,
  -- It is as of this version of the account: what was recorded later is for a later day.
  looked_through bigint NOT NULL,
  first_version bigint NOT NULL,
  last_version bigint NOT NULL CHECK (last_version BETWEEN first_version AND looked_through),
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((transaction_id IS NULL) = (fees = 0)),
  PRIMARY KEY (merchant_id, id),
  UNIQUE (merchant_id, currency, business_date)
);
CREATE INDEX settlements_date ON settlements (merchant_id, business_date, id);
-- Each entry of merchant_payable that was settled, once: the primary key says so. A settlement's lines lie between its first_version
-- and its last_version. Those of a settlement that is not there yet belong to a draft, which keeps them.
CREATE TABLE settlement_lines (
  merchant_id bigint NOT NULL,
  account_id bigint NOT NULL,
  account_version bigint NOT NULL,
  settlement_id bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('payment', 'refund', 'dispute', 'other', 'payout', 'fees')),
  payment_id bigint,
  transaction_id bigint NOT NULL,
  -- Signed: what it added to what the merchant is owed. Of payouts 0: they pay out what was settled.
  amount bigint NOT NULL,
  fee bigint NOT NULL,
  fee_plan_id bigint,
  fee_plan_version integer,
  effective_at timestamptz NOT NULL,
  business_date date NOT NULL,
  PRIMARY KEY (merchant_id, account_id, account_version)
);
-- A settlement in the making: lines are written chunk by chunk, outside of the merchant's lock, and what they come to is here. It
-- is never given up: whoever finds it goes on. Locked by who works on it, and gone with the group that makes it a settlement.
CREATE TABLE settlement_drafts (
  merchant_id bigint NOT NULL,
  currency text NOT NULL,
  settlement_id bigint NOT NULL,
  account_id bigint NOT NULL,
  business_date date NOT NULL,
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  -- Entries after drafted_through, up to looked_through, are still to be looked at; up to seen_through others have looked before.
  drafted_through bigint NOT NULL,
  looked_through bigint NOT NULL,
  seen_through bigint NOT NULL,
  gross bigint NOT NULL DEFAULT 0,
  refunds bigint NOT NULL DEFAULT 0,
  disputes bigint NOT NULL DEFAULT 0,
  other bigint NOT NULL DEFAULT 0,
  adjustments bigint NOT NULL DEFAULT 0,
  fees bigint NOT NULL DEFAULT 0,
  items bigint NOT NULL DEFAULT 0,
  first_version bigint,
  last_version bigint,
  -- The first entry that has to wait for a later day.
  first_left bigint,
  PRIMARY KEY (merchant_id, currency)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- The last business day of a merchant that is settled, with or without settlements. Written behind the merchant's lock.
CREATE TABLE settlement_positions (
  merchant_id bigint PRIMARY KEY,
  -- The first one that was settled: all from then on are.
  first_date date NOT NULL,
  business_date date NOT NULL CHECK (business_date >= first_date),
  ended_at timestamptz NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- What has been settled and what of it was paid out, in all, and how far settlements have looked at the account's entries: all
-- up to taken_through are settled, or move nothing. Written behind the merchant's lock.
CREATE TABLE settled_balances (
  merchant_id bigint NOT NULL,
  currency text NOT NULL,
  settled bigint NOT NULL DEFAULT 0,
  paid_out bigint NOT NULL DEFAULT 0,
  looked_through bigint NOT NULL DEFAULT 0,
  taken_through bigint NOT NULL DEFAULT 0 CHECK (taken_through <= looked_through),
  PRIMARY KEY (merchant_id, currency)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- Gross volume of a calendar month where the merchant is, as far as it is drafted: what tiers of fees count.
CREATE TABLE fee_volumes (
  merchant_id bigint NOT NULL,
  currency text NOT NULL,
  month date NOT NULL CHECK (month = date_trunc('month', month)),
  gross bigint NOT NULL,
  PRIMARY KEY (merchant_id, currency, month)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);`;

const RUNS = `
-- What was asked for: a business day of some or all merchants, by an operator or because cut-offs have passed.
CREATE TABLE settlement_runs (
  id bigint PRIMARY KEY,
  business_date date NOT NULL,
  asked_by text NOT NULL CHECK (asked_by IN ('operator', 'schedule')),
  -- Whether its merchants were named: of all of them, those whom there was not yet on the day are no error.
  named boolean NOT NULL,
  status text NOT NULL CHECK (status IN ('queued', 'running', 'completed', 'failed')),
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  started_at timestamptz,
  finished_at timestamptz,
  -- How many, and what came of them so far: the sums of its ranges, written with these.
  merchants integer NOT NULL DEFAULT 0,
  settled integer NOT NULL DEFAULT 0,
  empty integer NOT NULL DEFAULT 0,
  not_due integer NOT NULL DEFAULT 0,
  failed integer NOT NULL DEFAULT 0,
  trace_context text
);
-- The parts of a run, which workers share among them. Done twice, a range changes nothing.
CREATE TABLE settlement_ranges (
  run_id bigint NOT NULL REFERENCES settlement_runs (id),
  range integer NOT NULL,
  merchant_ids bigint[] NOT NULL CHECK (cardinality(merchant_ids) > 0),
  status text NOT NULL CHECK (status IN ('queued', 'completed')),
  -- An array of {merchant_id, problem}.
  errors json,
  completed_at timestamptz,
  PRIMARY KEY (run_id, range)
);
CREATE INDEX settlement_ranges_queued ON settlement_ranges (run_id, range) WHERE status = 'queued';
CREATE INDEX settlement_ranges_errors ON settlement_ranges (run_id, range) WHERE errors IS NOT NULL;`;

const TENANT_TABLES = [
  'payable_items',
  'settlements',
  'settlement_lines',
  'settlement_drafts',
  'settlement_positions',
  'settled_balances',
  'fee_volumes',
];

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
${TENANT_TABLES.map(
  (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ${table} USING (merchant_id = ${TENANTS});`,
).join('')}
-- How far merchants are settled: what plans may still change, and what is due.
CREATE POLICY platform ON settlement_positions FOR SELECT USING (current_setting('counterfoil.platform', true) = 'on');
CREATE POLICY platform ON settlement_drafts FOR SELECT USING (current_setting('counterfoil.platform', true) = 'on');
GRANT SELECT, INSERT ON payable_items, settlement_lines TO counterfoil_runtime;
GRANT SELECT, INSERT ON settlements TO counterfoil_runtime;
GRANT SELECT, INSERT, DELETE, UPDATE (drafted_through, gross, refunds, disputes, other, adjustments, fees, items, first_version,
                                      last_version, first_left)
  ON settlement_drafts TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (business_date, ended_at) ON settlement_positions TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (settled, paid_out, looked_through, taken_through) ON settled_balances TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (gross) ON fee_volumes TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (status, started_at, finished_at, merchants, settled, empty, not_due, failed) ON settlement_runs
  TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (status, errors, completed_at) ON settlement_ranges TO counterfoil_runtime;`;

/** Settlements, what they are made of and how they are made. Adds tables. */
export class Settlements1764710000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [ITEMS, SETTLEMENTS, RUNS, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE settlement_ranges, settlement_runs, ${TENANT_TABLES.join(', ')}`);
  }
}
