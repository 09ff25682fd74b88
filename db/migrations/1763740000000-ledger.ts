import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The whole ledger in one migration: tables, roles' rights, row-level security, and the checks that make PostgreSQL itself
 * refuse what must not be. Every tenant table's keys and indexes lead with merchant_id.
 *
 * The role `counterfoil_runtime` must exist (`migrate.ts` creates it): it owns nothing, cannot bypass row-level security,
 * and has neither UPDATE nor DELETE nor TRUNCATE on history.
 */

/** Snowflake id → its millisecond; twin of `snowflakeTimeMs` in libs/kernel/src/snowflake.ts (epoch 2025-01-01). */
const SNOWFLAKE_TIME = `
CREATE FUNCTION snowflake_time(id bigint) RETURNS timestamptz
  LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
  RETURN to_timestamp(((id >> 22) + 1735689600000)::double precision / 1000)`;

const TENANCY = `
CREATE TABLE merchants (
  id bigint PRIMARY KEY,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  time_zone text NOT NULL,
  settlement_cutoff time NOT NULL,
  currencies text[] NOT NULL CHECK (cardinality(currencies) > 0),
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id))
);
CREATE TABLE api_keys (
  merchant_id bigint NOT NULL REFERENCES merchants (id),
  id bigint NOT NULL,
  -- SHA-256 of the whole key. The key carries the merchant id, so the look-up leads with it.
  secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
  hint text NOT NULL,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  revoked_at timestamptz,
  PRIMARY KEY (merchant_id, id),
  UNIQUE (merchant_id, secret_sha256)
);`;

const ACCOUNTS = `
-- What never changes of an account. What moves is its balances row.
CREATE TABLE accounts (
  merchant_id bigint NOT NULL REFERENCES merchants (id),
  id bigint NOT NULL,
  code text COLLATE "C" NOT NULL,
  name text NOT NULL,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  normal_side smallint NOT NULL CHECK (normal_side IN (1, -1)),
  min_available bigint,
  metadata json NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  PRIMARY KEY (merchant_id, id),
  UNIQUE (merchant_id, code)
);
COMMENT ON COLUMN accounts.normal_side IS '1 debit, -1 credit';
CREATE TABLE balances (
  merchant_id bigint NOT NULL,
  account_id bigint NOT NULL,
  posted_debits bigint NOT NULL DEFAULT 0 CHECK (posted_debits BETWEEN 0 AND 4611686018427387904),
  posted_credits bigint NOT NULL DEFAULT 0 CHECK (posted_credits BETWEEN 0 AND 4611686018427387904),
  pending_debits bigint NOT NULL DEFAULT 0 CHECK (pending_debits BETWEEN 0 AND 4611686018427387904),
  pending_credits bigint NOT NULL DEFAULT 0 CHECK (pending_credits BETWEEN 0 AND 4611686018427387904),
  version bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
  last_transaction_id bigint NOT NULL DEFAULT 0,
  closed boolean NOT NULL DEFAULT false,
  PRIMARY KEY (merchant_id, account_id),
  FOREIGN KEY (merchant_id, account_id) REFERENCES accounts (merchant_id, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);`;

/** See docs/adr/0002: the primary key leads with the tenant and *covers* the list, because a heap does not follow its key. */
const HISTORY = `
CREATE TABLE transactions (
  merchant_id bigint NOT NULL,
  created_at timestamptz NOT NULL CHECK (created_at = snowflake_time(id)),
  id bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('posted', 'pending', 'capture', 'void', 'expiry', 'reversal')),
  type text NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0),
  currency text NOT NULL,
  external_ref text,
  effective_at timestamptz NOT NULL,
  parent_id bigint CHECK ((parent_id IS NULL) = (kind IN ('posted', 'pending'))),
  expires_at timestamptz,
  description text,
  metadata json,
  -- (account_id, account_version) of each entry, flattened: an entry is found by its own primary key.
  legs bigint[] NOT NULL CHECK (cardinality(legs) BETWEEN 4 AND 200 AND cardinality(legs) % 2 = 0),
  PRIMARY KEY (merchant_id, created_at, id)
    INCLUDE (kind, type, amount, currency, external_ref, effective_at, parent_id)
) WITH (autovacuum_vacuum_insert_threshold = 10000, autovacuum_vacuum_insert_scale_factor = 0);
CREATE INDEX transactions_external_ref ON transactions (merchant_id, external_ref, id) WHERE external_ref IS NOT NULL;

-- posted_amount is added to the posted total of the entry's side, pending_amount (negative: released) to the pending one.
CREATE TABLE entries (
  merchant_id bigint NOT NULL,
  account_id bigint NOT NULL,
  account_version bigint NOT NULL CHECK (account_version > 0),
  transaction_id bigint NOT NULL,
  direction smallint NOT NULL CHECK (direction IN (1, -1)),
  currency text NOT NULL,
  posted_amount bigint NOT NULL CHECK (posted_amount BETWEEN 0 AND 9007199254740991),
  pending_amount bigint NOT NULL CHECK (pending_amount BETWEEN -9007199254740991 AND 9007199254740991),
  posted_debits bigint NOT NULL,
  posted_credits bigint NOT NULL,
  pending_debits bigint NOT NULL,
  pending_credits bigint NOT NULL,
  effective_at timestamptz NOT NULL,
  type text NOT NULL,
  CHECK (posted_amount <> 0 OR pending_amount <> 0),
  PRIMARY KEY (merchant_id, account_id, account_version)
    INCLUDE (transaction_id, direction, currency, posted_amount, pending_amount, posted_debits, posted_credits,
             pending_debits, pending_credits, effective_at, type)
) WITH (autovacuum_vacuum_insert_threshold = 10000, autovacuum_vacuum_insert_scale_factor = 0);
COMMENT ON COLUMN entries.direction IS '1 debit, -1 credit';

-- Where a transaction that can still move stands: one row for each pending one, and for each posted one once reversed in part.
-- remaining: minor units still held; reversed: minor units given back.
CREATE TABLE transaction_states (
  merchant_id bigint NOT NULL,
  transaction_id bigint NOT NULL,
  status text NOT NULL CHECK (status IN ('posted', 'pending', 'partially_posted', 'voided', 'expired')),
  remaining bigint NOT NULL CHECK (remaining >= 0),
  reversed bigint NOT NULL CHECK (reversed >= 0),
  expires_at timestamptz,
  CHECK ((remaining > 0) = (status IN ('pending', 'partially_posted'))),
  PRIMARY KEY (merchant_id, transaction_id)
);
CREATE INDEX transaction_states_status ON transaction_states (merchant_id, status, transaction_id);
CREATE INDEX transaction_states_due ON transaction_states (merchant_id, expires_at)
  WHERE expires_at IS NOT NULL AND remaining > 0;

-- Signed sums that turn the balance by created_at into the balance by effective_at (libs/ledger/src/late-sums.ts).
CREATE TABLE late_sums (
  merchant_id bigint NOT NULL,
  account_id bigint NOT NULL,
  level smallint NOT NULL CHECK (level BETWEEN 0 AND 6),
  bucket bigint NOT NULL,
  posted_debits bigint NOT NULL,
  posted_credits bigint NOT NULL,
  pending_debits bigint NOT NULL,
  pending_credits bigint NOT NULL,
  PRIMARY KEY (merchant_id, account_id, level, bucket)
);`;

const IDEMPOTENCY = `
-- status and transaction_id rebuild the answer from rows that never change; a refusal or a batch keeps what it needs in response.
CREATE TABLE idempotency_keys (
  merchant_id bigint NOT NULL,
  key text COLLATE "C" NOT NULL,
  request_sha256 bytea NOT NULL CHECK (length(request_sha256) = 32),
  status smallint NOT NULL,
  transaction_id bigint,
  response json,
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK (transaction_id IS NOT NULL OR response IS NOT NULL),
  PRIMARY KEY (merchant_id, key)
);
-- Block ranges for the purge by age: a few bytes per megabyte, where a B-tree would cost every posting.
CREATE INDEX idempotency_keys_age ON idempotency_keys USING brin (created_at) WITH (autosummarize = on);

-- One row per commit group: whoever inserts a token first decides whether that group is committed (docs/adr/0003).
-- voided: inserted by somebody who asked, not by the group, which can then never commit.
CREATE TABLE write_fences (token bigint PRIMARY KEY, voided boolean NOT NULL DEFAULT false);
-- Tokens up to here have been purged: inserting one is refused, so that purging never brings a voided group back.
CREATE TABLE write_fence_horizon (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), token bigint NOT NULL);
INSERT INTO write_fence_horizon (token) VALUES (0);
CREATE FUNCTION refuse_purged_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.token <= (SELECT token FROM write_fence_horizon) THEN
    RAISE EXCEPTION 'fence token % is older than the purge horizon', NEW.token
      USING ERRCODE = 'check_violation', CONSTRAINT = 'write_fence_horizon';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER write_fences_horizon BEFORE INSERT ON write_fences FOR EACH ROW EXECUTE FUNCTION refuse_purged_fence();`;

const EVENTS = `
-- The tenant's append-only log, written in the posting's transaction. Readers go by (xid, seq) below the snapshot's xmin, so
-- that a transaction which commits late is never skipped.
CREATE SEQUENCE events_seq AS bigint;
CREATE TABLE events (
  merchant_id bigint NOT NULL,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  seq bigint NOT NULL DEFAULT nextval('events_seq'),
  partition smallint NOT NULL GENERATED ALWAYS AS ((hashint8(merchant_id) & 63)::smallint) STORED,
  type text NOT NULL,
  version smallint NOT NULL CHECK (version > 0),
  occurred_at timestamptz NOT NULL,
  trace_context text,
  data json NOT NULL,
  PRIMARY KEY (merchant_id, xid, seq)
) WITH (autovacuum_vacuum_insert_threshold = 10000, autovacuum_vacuum_insert_scale_factor = 0);
CREATE INDEX events_partition ON events (partition, xid, seq);`;

const WORKER_LEASES = `
-- A process issues Snowflakes under worker_id only while it holds the lease, and only up to issuable_until.
CREATE TABLE worker_leases (
  worker_id smallint PRIMARY KEY CHECK (worker_id BETWEEN 0 AND 1023),
  holder uuid NOT NULL,
  expires_at timestamptz NOT NULL,
  issuable_until timestamptz NOT NULL
);`;

/**
 * Look-ups in these triggers are LATERAL with a LIMIT on purpose: their plans are made while the tables are young and empty,
 * and a join or an EXISTS then becomes a scan of the merchant's whole history (measured: 300 ms a group instead of 1).
 *
 * Refuses, per statement: entries that do not sum to zero, a running balance that does not follow from the one before,
 * and entries whose balance has not moved along with them.
 */
const ENTRY_CHECKS = `
CREATE FUNCTION check_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE broken record;
BEGIN
  SELECT merchant_id, transaction_id, currency INTO broken FROM added
   GROUP BY merchant_id, transaction_id, currency
  HAVING sum(direction * posted_amount) <> 0 OR sum(direction * pending_amount) <> 0 LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'the entries of transaction % do not sum to zero in %', broken.transaction_id, broken.currency
      USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_zero_sum';
  END IF;
  SELECT n.account_id, n.account_version INTO broken FROM added n
    LEFT JOIN LATERAL (
      SELECT account_id, posted_debits, posted_credits, pending_debits, pending_credits FROM entries
       WHERE merchant_id = n.merchant_id AND account_id = n.account_id AND account_version = n.account_version - 1 LIMIT 1) p ON true
   WHERE (p.account_id IS NULL AND n.account_version > 1)
      OR n.posted_debits <> coalesce(p.posted_debits, 0) + CASE n.direction WHEN 1 THEN n.posted_amount ELSE 0 END
      OR n.posted_credits <> coalesce(p.posted_credits, 0) + CASE n.direction WHEN -1 THEN n.posted_amount ELSE 0 END
      OR n.pending_debits <> coalesce(p.pending_debits, 0) + CASE n.direction WHEN 1 THEN n.pending_amount ELSE 0 END
      OR n.pending_credits <> coalesce(p.pending_credits, 0) + CASE n.direction WHEN -1 THEN n.pending_amount ELSE 0 END
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % of account % does not follow from the one before', broken.account_version, broken.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_running_balance';
  END IF;
  SELECT n.account_id, n.version INTO broken
    FROM (SELECT merchant_id, account_id, max(account_version) AS version FROM added GROUP BY merchant_id, account_id) n
    LEFT JOIN LATERAL (
      SELECT version FROM balances WHERE merchant_id = n.merchant_id AND account_id = n.account_id LIMIT 1) b ON true
   WHERE b.version IS DISTINCT FROM n.version LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % of account % was added without its balance', broken.version, broken.account_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_reach_balance';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER entries_checked AFTER INSERT ON entries REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION check_entries();`;

/** Refuses a balance that is not the running balance of the account's newest entry. */
const BALANCE_CHECKS = `
CREATE FUNCTION check_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE broken record;
BEGIN
  SELECT n.account_id, n.version INTO broken FROM updated n
    LEFT JOIN LATERAL (
      SELECT account_id, transaction_id, posted_debits, posted_credits, pending_debits, pending_credits FROM entries
       WHERE merchant_id = n.merchant_id AND account_id = n.account_id AND account_version = n.version LIMIT 1) e ON true
   WHERE (n.version > 0 AND e.account_id IS NULL)
      OR n.last_transaction_id <> coalesce(e.transaction_id, 0)
      OR n.posted_debits <> coalesce(e.posted_debits, 0) OR n.posted_credits <> coalesce(e.posted_credits, 0)
      OR n.pending_debits <> coalesce(e.pending_debits, 0) OR n.pending_credits <> coalesce(e.pending_credits, 0)
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'the balance of account % at version % is not that of its entries', broken.account_id, broken.version
      USING ERRCODE = 'check_violation', CONSTRAINT = 'balances_follow_entries';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER balances_checked AFTER UPDATE ON balances REFERENCING NEW TABLE AS updated
  FOR EACH STATEMENT EXECUTE FUNCTION check_balances();
CREATE FUNCTION refuse_older_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the balance of account % would go back from version % to %', NEW.account_id, OLD.version, NEW.version
    USING ERRCODE = 'check_violation', CONSTRAINT = 'balances_go_forward';
END $$;
-- Only its condition is evaluated on the way of every posting.
CREATE TRIGGER balances_go_forward BEFORE UPDATE ON balances FOR EACH ROW WHEN (NEW.version < OLD.version)
  EXECUTE FUNCTION refuse_older_balance();`;

/** Newest version of an account created before an id: versions are gapless and ids ascend along them, so a binary search does. */
const VERSION_BEFORE = `
CREATE FUNCTION account_version_before(of_merchant bigint, of_account bigint, newest bigint, before_id bigint) RETURNS bigint
  LANGUAGE plpgsql STABLE AS $$
DECLARE
  low bigint := 0;      -- created before before_id, or 0
  high bigint := newest; -- candidates are (low, high]
  middle bigint;
BEGIN
  WHILE low < high LOOP
    middle := (low + high + 1) / 2;
    IF (SELECT transaction_id FROM entries
         WHERE merchant_id = of_merchant AND account_id = of_account AND account_version = middle) < before_id
    THEN low := middle;
    ELSE high := middle - 1;
    END IF;
  END LOOP;
  RETURN low;
END $$;`;

const TENANT_TABLES = [
  'api_keys',
  'accounts',
  'balances',
  'transactions',
  'entries',
  'transaction_states',
  'late_sums',
  'idempotency_keys',
  'events',
];

/** The sub-select makes PostgreSQL read the setting once a statement; never set or cleared both mean: no rows. */
const TENANTS = `ANY ((SELECT NULLIF(current_setting('counterfoil.merchant_ids', true), '')::bigint[])::bigint[])`;

function rowLevelSecurity(): string {
  const statements = TENANT_TABLES.map(
    (table) => `
ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE ${table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON ${table} USING (merchant_id = ${TENANTS});`,
  );
  return `${statements.join('')}
ALTER TABLE merchants ENABLE ROW LEVEL SECURITY;
ALTER TABLE merchants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON merchants USING (id = ${TENANTS});
-- The platform's own routes and duties list merchants; they see no other table this way.
CREATE POLICY platform ON merchants FOR SELECT USING (current_setting('counterfoil.platform', true) = 'on');`;
}

const RIGHTS = `
GRANT USAGE ON SCHEMA public TO counterfoil_runtime;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO counterfoil_runtime;
GRANT INSERT ON merchants, api_keys, accounts, transactions, entries, events, transaction_states, late_sums, idempotency_keys,
  write_fences, worker_leases TO counterfoil_runtime;
GRANT INSERT (merchant_id, account_id) ON balances TO counterfoil_runtime;
GRANT UPDATE (posted_debits, posted_credits, pending_debits, pending_credits, version, last_transaction_id, closed)
  ON balances TO counterfoil_runtime;
GRANT UPDATE (status, remaining, reversed) ON transaction_states TO counterfoil_runtime;
GRANT UPDATE ON late_sums, worker_leases, write_fence_horizon TO counterfoil_runtime;
GRANT UPDATE (revoked_at) ON api_keys TO counterfoil_runtime;
GRANT DELETE ON idempotency_keys, write_fences TO counterfoil_runtime;
GRANT USAGE ON SEQUENCE events_seq TO counterfoil_runtime;`;

export class Ledger1763740000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [
      SNOWFLAKE_TIME,
      TENANCY,
      ACCOUNTS,
      HISTORY,
      IDEMPOTENCY,
      EVENTS,
      WORKER_LEASES,
      ENTRY_CHECKS,
      BALANCE_CHECKS,
      VERSION_BEFORE,
      rowLevelSecurity(),
      RIGHTS,
    ]) {
      await runner.query(sql);
    }
  }

  async down(): Promise<void> {
    throw new Error('The first migration has no way back: drop the database instead.');
  }
}
