import type { MigrationInterface, QueryRunner } from 'typeorm';

const REPORTS = `
-- A report of a processor, of a bank, or of ourselves: what was uploaded, and what came of it.
CREATE TABLE reconciliations (
  merchant_id bigint NOT NULL,
  id bigint NOT NULL,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  source text COLLATE "C" NOT NULL CHECK (source ~ '^[a-z0-9][a-z0-9_]{0,63}$'),
  -- The operator who uploaded it, by name; null: the schedule.
  asked_by text CHECK (length(asked_by) BETWEEN 1 AND 255),
  -- As asked for, or from the first to the last time of its rows.
  period_from timestamptz,
  period_to timestamptz CHECK (period_to >= period_from),
  -- What a report of the period does not tell is expected for so long, then missing.
  sla_days integer NOT NULL CHECK (sla_days BETWEEN 0 AND 365),
  status text NOT NULL CHECK (status IN ('receiving', 'matching', 'completed', 'failed')),
  failure text,
  -- When whoever receives it was last heard of: of one who has died it is old.
  heard_at timestamptz NOT NULL DEFAULT now(),
  completed_at timestamptz,
  -- Lines that could be read, lines that could not, rows that another report had told before.
  rows bigint NOT NULL DEFAULT 0,
  rows_bad bigint NOT NULL DEFAULT 0,
  repeated bigint NOT NULL DEFAULT 0,
  matched bigint NOT NULL DEFAULT 0,
  -- Items that are due, and that no report has told yet.
  expected bigint NOT NULL DEFAULT 0,
  totals json,
  -- What the report says of itself as a whole: the balances of a bank's statements.
  statements json,
  trace_context text,
  CHECK ((status = 'failed') = (failure IS NOT NULL)),
  CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
  PRIMARY KEY (merchant_id, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX reconciliations_unfinished ON reconciliations (merchant_id, id) WHERE status IN ('receiving', 'matching');
-- Whoever matches rows of a merchant locks its row here: reports take turns, chunk by chunk. Postings do not wait for it.
CREATE TABLE reconciliation_turns (
  merchant_id bigint PRIMARY KEY
);
-- Rows of reports that are not matched yet. A row leaves in the transaction that says what became of it, so that who goes on after
-- a crash finds here what is left to be done.
CREATE TABLE report_staging (
  merchant_id bigint NOT NULL,
  reconciliation_id bigint NOT NULL,
  line bigint NOT NULL,
  identity uuid NOT NULL,
  type text COLLATE "C" NOT NULL,
  reference text COLLATE "C",
  object_ref text COLLATE "C",
  gross bigint NOT NULL,
  fee bigint NOT NULL,
  net bigint NOT NULL,
  currency text COLLATE "C" NOT NULL,
  occurred_at timestamptz NOT NULL,
  batch text COLLATE "C",
  PRIMARY KEY (merchant_id, reconciliation_id, line)
);
CREATE TABLE report_bad_rows (
  merchant_id bigint NOT NULL,
  reconciliation_id bigint NOT NULL,
  line bigint NOT NULL,
  problem text NOT NULL,
  excerpt text NOT NULL CHECK (length(excerpt) <= 200),
  PRIMARY KEY (merchant_id, reconciliation_id, line)
);`;

const MATCHES = `
-- What processors and banks have told, each row once, whichever report told it first: its identity is the source's own.
CREATE TABLE report_rows (
  merchant_id bigint NOT NULL,
  source text COLLATE "C" NOT NULL,
  identity uuid NOT NULL,
  reconciliation_id bigint NOT NULL,
  line bigint NOT NULL,
  type text COLLATE "C" NOT NULL CHECK (type IN ('payment', 'refund', 'dispute', 'dispute_reversed', 'fee', 'payout', 'other')),
  reference text COLLATE "C",
  object_ref text COLLATE "C",
  -- Minor units, signed as the merchant sees them; a fee is above zero when it was charged.
  gross bigint NOT NULL,
  fee bigint NOT NULL,
  net bigint NOT NULL,
  currency text COLLATE "C" NOT NULL,
  occurred_at timestamptz NOT NULL,
  batch text COLLATE "C",
  -- The match that it is in, named by the match's first row; null: none.
  match_reconciliation_id bigint,
  match_line bigint,
  rule text COLLATE "C",
  CHECK ((match_reconciliation_id IS NULL) = (match_line IS NULL) AND (match_line IS NULL) = (rule IS NULL)),
  PRIMARY KEY (merchant_id, source, identity)
);
-- What more is told of the same payment, what a batch comes to, what a report has told.
CREATE INDEX report_rows_reference ON report_rows (merchant_id, reference, type);
CREATE INDEX report_rows_batch ON report_rows (merchant_id, source, batch) WHERE batch IS NOT NULL;
CREATE INDEX report_rows_report ON report_rows (merchant_id, reconciliation_id, line);
-- What the ledger has that a report has told: each item in one match, its key says so. 'payment/<id>/<kind>/<object>',
-- 'payout/<id>', 'return/<id>', 'batch/<source>/<batch>/<currency>'.
CREATE TABLE reconciled_items (
  merchant_id bigint NOT NULL,
  item text COLLATE "C" NOT NULL CHECK (length(item) BETWEEN 3 AND 600),
  match_reconciliation_id bigint NOT NULL,
  match_line bigint NOT NULL,
  PRIMARY KEY (merchant_id, item)
);
CREATE INDEX reconciled_items_match ON reconciled_items (merchant_id, match_reconciliation_id, match_line);`;

const BREAKS = `
-- What is neither matched nor just expected, until a later row, an entry or a person ends it. Written behind the merchant's lock.
CREATE TABLE breaks (
  merchant_id bigint NOT NULL,
  id bigint NOT NULL,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  reconciliation_id bigint NOT NULL,
  -- '<kind>/<row, item or batch>': found twice it is one.
  fingerprint text COLLATE "C" NOT NULL CHECK (length(fingerprint) BETWEEN 3 AND 700),
  kind text COLLATE "C" NOT NULL CHECK (kind ~ '^[a-z][a-z_]{2,63}$'),
  status text NOT NULL CHECK (status IN ('open', 'assigned', 'proposed', 'resolved', 'auto_resolved', 'written_off')),
  reference text COLLATE "C",
  object_ref text COLLATE "C",
  -- The sides that it holds back: nobody matches them while it is open.
  item text COLLATE "C",
  row_source text COLLATE "C",
  row_identity uuid,
  -- {amount, fee, currency, occurred_at}, of what the ledger has; of what was told with its line.
  expected json,
  actual json,
  -- Told less what the ledger has, in minor units of the currency.
  difference bigint,
  currency text COLLATE "C",
  detail text,
  -- An array: what it may be about, [{item | transaction_id, amount, …, proposed}].
  candidates json,
  assignee text CHECK (length(assignee) BETWEEN 1 AND 255),
  -- An array of {text, by, at}.
  comments json NOT NULL DEFAULT '[]',
  -- {action, entries, candidates, reason, by, key_id, at}.
  proposal json,
  -- {by, approved_by, transaction_id, reason, at, row, …}.
  resolution json,
  CHECK ((status = 'proposed') = (proposal IS NOT NULL AND resolution IS NULL)),
  CHECK ((status IN ('resolved', 'auto_resolved', 'written_off')) = (resolution IS NOT NULL)),
  PRIMARY KEY (merchant_id, id),
  UNIQUE (merchant_id, fingerprint)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX breaks_report ON breaks (merchant_id, reconciliation_id, id);
CREATE INDEX breaks_unresolved ON breaks (merchant_id, id) WHERE resolution IS NULL;
CREATE INDEX breaks_item ON breaks (merchant_id, item) WHERE item IS NOT NULL;
CREATE INDEX breaks_row ON breaks (merchant_id, row_source, row_identity) WHERE row_identity IS NOT NULL;
CREATE INDEX breaks_reference ON breaks (merchant_id, reference) WHERE reference IS NOT NULL AND resolution IS NULL;`;

const TENANT_TABLES = [
  'reconciliations',
  'reconciliation_turns',
  'report_staging',
  'report_bad_rows',
  'report_rows',
  'reconciled_items',
  'breaks',
];

const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

const RIGHTS = `
${TENANT_TABLES.map(
  (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ${table} USING (merchant_id = ${TENANTS});`,
).join('')}
-- The worker looks for what is to be matched, and counts what is open.
CREATE POLICY platform ON reconciliations FOR SELECT USING (current_setting('counterfoil.platform', true) = 'on');
CREATE POLICY platform ON breaks FOR SELECT USING (current_setting('counterfoil.platform', true) = 'on');
GRANT SELECT, INSERT, UPDATE (period_from, period_to, status, failure, heard_at, completed_at, rows, rows_bad, repeated, matched, expected, totals,
                              statements)
  ON reconciliations TO counterfoil_runtime;
-- Locking a row needs a right to change it.
GRANT SELECT, INSERT, UPDATE (merchant_id) ON reconciliation_turns TO counterfoil_runtime;
GRANT SELECT, INSERT, DELETE ON report_staging, report_bad_rows TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (match_reconciliation_id, match_line, rule) ON report_rows TO counterfoil_runtime;
GRANT SELECT, INSERT ON reconciled_items TO counterfoil_runtime;
GRANT SELECT, INSERT, UPDATE (status, candidates, assignee, comments, proposal, resolution, detail) ON breaks TO counterfoil_runtime;`;

/** Reports, what they tell, what of it is matched, and breaks. Adds tables. */
export class Reconciliation1764800000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [REPORTS, MATCHES, BREAKS, RIGHTS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE ${TENANT_TABLES.join(', ')}`);
  }
}
