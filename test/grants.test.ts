import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RETENTION_ROLE } from '#db/roles.js';
import { RUNTIME_ROLE } from '#platform/runtime-role.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';

/** Everything that the role which the service runs as may do, whoever grants it. A new table without a line here fails. */
const RUNTIME: Record<string, string> = {
  database: 'CONNECT',
  'schema public': 'USAGE',
  'table accounts': 'INSERT, SELECT',
  'table api_keys': 'INSERT, SELECT, UPDATE (revoked_at)',
  'table balances':
    'SELECT, INSERT (account_id, merchant_id), UPDATE (closed, last_transaction_id, pending_credits, pending_debits, posted_credits, posted_debits, version)',
  'table breaks': 'INSERT, SELECT, UPDATE (assignee, candidates, comments, detail, proposal, resolution, status)',
  'table consumer_positions': 'DELETE, INSERT, SELECT, UPDATE',
  'table daily_summaries': 'DELETE, INSERT, SELECT, UPDATE (credit_amount, credit_count, debit_amount, debit_count)',
  'table dead_letters': 'INSERT, SELECT, UPDATE (decided_at, decided_by, error, reason, status, tries)',
  'table due_rows':
    'DELETE, SELECT, INSERT (due_at, kind, merchant_id, subject_id, try_at), UPDATE (attempts, due_at, last_error, try_at)',
  'table entries': 'INSERT, SELECT',
  'table event_horizons': 'SELECT',
  'table events': 'SELECT, INSERT (data, merchant_id, occurred_at, trace_context, type, version, xid)',
  'table fee_plan_assignments': 'DELETE, SELECT, INSERT (fee_plan_id, merchant_id, valid_from)',
  'table fee_plan_versions': 'DELETE, SELECT, INSERT (plan_id, refund_returns_fee, rules, valid_from, version)',
  'table fee_plans': 'INSERT, SELECT, UPDATE (name)',
  'table fee_volumes': 'INSERT, SELECT, UPDATE (gross)',
  'table forgotten_consumers': 'INSERT, SELECT',
  'table idempotency_keys': 'DELETE, INSERT, SELECT',
  'table job_runs':
    'DELETE, INSERT, SELECT, UPDATE (every_ms, failures, last_error, last_failed_at, last_finished_at, last_started_at, next_at, noted_at, runs)',
  'table late_sums': 'INSERT, SELECT, UPDATE',
  'table log_epochs': 'SELECT',
  'table merchant_limits':
    'DELETE, INSERT, SELECT, UPDATE (burst_units, changed_at, units_in_flight, units_per_second, weight)',
  'table merchant_positions':
    'DELETE, INSERT, SELECT, UPDATE (careful_seq, careful_xid, claimed_by, claimed_until, last_error, seq, tries, xid)',
  'table merchant_time_zones': 'DELETE, SELECT, INSERT (from_at, from_day, merchant_id, time_zone)',
  'table merchant_usage': 'DELETE, INSERT, SELECT, UPDATE (refused, requests, units)',
  'table merchants': 'INSERT, SELECT, UPDATE (name)',
  'table operator_keys': 'INSERT, SELECT, UPDATE (revoked_at, revoked_by)',
  'table parked_streams': 'DELETE, INSERT, SELECT, UPDATE (seq, xid)',
  'table payable_items': 'INSERT, SELECT',
  'table payment_facts': 'INSERT, SELECT, UPDATE (applied_before, outcome, reason, transaction_id)',
  'table payment_queries': 'INSERT, SELECT, UPDATE (asked_at, detail, outcome, times)',
  'table payments':
    'INSERT, SELECT, UPDATE (amount, amount_authorised, amount_capturable, amount_captured, amount_disputed, amount_refunded, amount_settled, capture, currency, description, effective_until, expires_at, metadata, parts, status, transactions)',
  'table payout_schedules': 'INSERT, SELECT, UPDATE (changed_at, destination, schedule)',
  'table payouts':
    'INSERT, SELECT, UPDATE (bank_reference, bank_sequence, failure_code, status, timeline, transactions)',
  'table projections': 'SELECT, UPDATE',
  'table provider_accounts': 'DELETE, INSERT, SELECT, UPDATE (accounts, changed_at)',
  'table provider_inbox':
    'DELETE, SELECT, INSERT (body, id, merchant_id, provider, received_at, trace_context), UPDATE (outcome, results, times_received)',
  'table provider_queries': 'DELETE, INSERT, SELECT, UPDATE (changed_at, token, url)',
  'table provider_secrets': 'DELETE, INSERT, SELECT, UPDATE (expires_at)',
  'table reconciled_items': 'INSERT, SELECT',
  'table reconciliation_turns': 'INSERT, SELECT, UPDATE (merchant_id)',
  'table reconciliations':
    'DELETE, INSERT, SELECT, UPDATE (completed_at, expected, failure, forgotten_at, heard_at, matched, period_from, period_to, repeated, rows, rows_bad, statements, status, totals, tries)',
  'table relay_cursors': 'DELETE, INSERT, SELECT, UPDATE (handed_at, seq, xid)',
  'table relay_members': 'DELETE, INSERT, SELECT, UPDATE',
  'table relay_partitions': 'SELECT, UPDATE (epoch, expires_at, holder)',
  'table report_bad_rows': 'DELETE, INSERT, SELECT',
  'table report_rows': 'DELETE, INSERT, SELECT, UPDATE (match_line, match_reconciliation_id, rule)',
  'table report_staging': 'DELETE, INSERT, SELECT',
  'table schema_migrations': 'SELECT',
  'table settled_balances': 'INSERT, SELECT, UPDATE (looked_through, paid_out, settled, taken_through)',
  'table settlement_drafts':
    'DELETE, INSERT, SELECT, UPDATE (adjustments, disputes, drafted_through, fees, first_left, first_version, gross, items, last_version, other, refunds)',
  'table settlement_lines': 'INSERT, SELECT',
  'table settlement_positions': 'INSERT, SELECT, UPDATE (business_date, ended_at)',
  'table settlement_ranges': 'DELETE, INSERT, SELECT, UPDATE (completed_at, errors, status)',
  'table settlement_runs':
    'DELETE, INSERT, SELECT, UPDATE (empty, failed, finished_at, merchants, not_due, settled, started_at, status, totals)',
  'table settlements': 'INSERT, SELECT',
  'table transaction_states': 'INSERT, SELECT, UPDATE (left_amounts, remaining, reversed, status)',
  'table transactions': 'INSERT, SELECT',
  'table usage_flushes': 'DELETE, INSERT, SELECT, UPDATE (flush, flushed_at)',
  'table webhook_attempts': 'DELETE, INSERT, SELECT',
  'table webhook_deliveries':
    'DELETE, INSERT, SELECT, UPDATE (attempts, delivered_at, next_attempt_at, redelivery, status, trace_context, tries)',
  'table webhook_endpoints':
    'DELETE, INSERT, SELECT, UPDATE (disabled_reason, failing_since, lease_epoch, lease_expires_at, since_xid, status)',
  'table webhook_secrets': 'DELETE, INSERT, SELECT, UPDATE (expires_at)',
  'table worker_leases': 'INSERT, SELECT, UPDATE',
  'table write_fence_horizon': 'SELECT, UPDATE',
  'table write_fences': 'DELETE, INSERT, SELECT',
  'sequence events_seq': 'USAGE',
  'sequence webhook_delivery_seq': 'USAGE',
  // Trigger functions run for whoever fires them; nobody can call them.
  'function account_version_before(bigint,bigint,bigint,bigint)': 'EXECUTE',
  'function check_moved_balances(integer,bigint)': 'EXECUTE',
  'function enter_log_epoch()': 'EXECUTE',
  'function forget_events(smallint,timestamp with time zone,integer)': 'EXECUTE',
  'function is_server_of(log_epochs)': 'EXECUTE',
  'function lock_merchants(bigint[])': 'EXECUTE',
  'function lock_merchants_within(bigint[],integer)': 'EXECUTE',
  'function log_horizon()': 'EXECUTE',
  'function log_xid()': 'EXECUTE',
  'function partition_of(bigint)': 'EXECUTE',
  'function remove_due_rows(text,bigint[],bigint[])': 'EXECUTE',
  'function server_timeline()': 'EXECUTE',
  'function snowflake_time(bigint)': 'EXECUTE',
  'function webhook_delivery_id()': 'EXECUTE',
};

/** The owner of the functions that may do more than their caller. Other functions are open to everybody. */
const RETENTION: Record<string, string> = {
  database: 'CONNECT',
  'schema public': 'USAGE',
  'table consumer_positions': 'SELECT',
  'table event_horizons': 'INSERT, SELECT, UPDATE',
  'table events': 'DELETE, SELECT',
  'table log_epochs': 'INSERT, SELECT, UPDATE',
  'table merchant_positions': 'SELECT',
  'table parked_streams': 'SELECT',
  'table relay_cursors': 'SELECT',
  'function account_version_before(bigint,bigint,bigint,bigint)': 'EXECUTE',
  'function check_moved_balances(integer,bigint)': 'EXECUTE',
  'function enter_log_epoch()': 'EXECUTE',
  'function forget_events(smallint,timestamp with time zone,integer)': 'EXECUTE',
  'function is_server_of(log_epochs)': 'EXECUTE',
  'function lock_merchants(bigint[])': 'EXECUTE',
  'function lock_merchants_within(bigint[],integer)': 'EXECUTE',
  'function log_horizon()': 'EXECUTE',
  'function log_xid()': 'EXECUTE',
  'function partition_of(bigint)': 'EXECUTE',
  'function remove_due_rows(text,bigint[],bigint[])': 'EXECUTE',
  'function server_timeline()': 'EXECUTE',
  'function snowflake_time(bigint)': 'EXECUTE',
  'function webhook_delivery_id()': 'EXECUTE',
};

/** $1 role. What it may do to every object that is not PostgreSQL's own, its columns one by one, by grants to PUBLIC too. */
const RIGHTS = `
WITH ours AS (
  SELECT oid, relname, relkind FROM pg_class
   WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))
), rights (object, privilege, columns) AS (
  SELECT 'database', p, NULL FROM unnest(ARRAY['CONNECT', 'CREATE', 'TEMPORARY']) p
   WHERE has_database_privilege($1, current_database(), p)
  UNION ALL SELECT 'schema ' || nspname, p, NULL FROM pg_namespace, unnest(ARRAY['USAGE', 'CREATE']) p
   WHERE has_schema_privilege($1, oid, p) AND NOT (nspname IN ('pg_catalog', 'information_schema') AND p = 'USAGE')
  UNION ALL SELECT 'table ' || relname, p, NULL FROM ours,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN']) p
   WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND has_table_privilege($1, oid, p)
  UNION ALL SELECT 'table ' || relname, p, string_agg(attname, ', ' ORDER BY attname COLLATE "C")
    FROM ours JOIN pg_attribute a ON a.attrelid = ours.oid AND attnum > 0 AND NOT attisdropped,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p
   WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND has_column_privilege($1, ours.oid, attnum, p) AND NOT has_table_privilege($1, ours.oid, p)
   GROUP BY relname, p
  UNION ALL SELECT 'sequence ' || relname, p, NULL FROM ours, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
   WHERE relkind = 'S' AND has_sequence_privilege($1, oid, p)
  UNION ALL SELECT 'function ' || oid::regprocedure::text, 'EXECUTE', NULL FROM pg_proc
   WHERE pronamespace <> ALL (ARRAY['pg_catalog', 'information_schema']::regnamespace[]) AND prorettype <> 'trigger'::regtype
     AND has_function_privilege($1, oid, 'EXECUTE')
  UNION ALL SELECT 'large object function ' || proname, 'EXECUTE', NULL FROM pg_proc
   WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^lo_|^lo(read|write)$' AND has_function_privilege($1, oid, 'EXECUTE')
  UNION ALL SELECT 'tablespace ' || spcname, 'CREATE', NULL FROM pg_tablespace WHERE has_tablespace_privilege($1, oid, 'CREATE')
  UNION ALL SELECT 'foreign server ' || srvname, 'USAGE', NULL FROM pg_foreign_server WHERE has_server_privilege($1, oid, 'USAGE')
  UNION ALL SELECT 'parameter ' || parname, p, NULL FROM pg_parameter_acl, unnest(ARRAY['SET', 'ALTER SYSTEM']) p
   WHERE has_parameter_privilege($1, parname, p)
  UNION ALL SELECT 'role ' || rolname, 'MEMBER', NULL FROM pg_roles WHERE rolname <> $1 AND pg_has_role($1, oid, 'MEMBER')
)
SELECT object, string_agg(privilege || coalesce(' (' || columns || ')', ''), ', ' ORDER BY columns IS NOT NULL, privilege) AS may
  FROM rights GROUP BY object`;

describe('in the catalogue of a migrated database', () => {
  let on: TestDatabase;

  beforeAll(async () => {
    on = await freshDatabase();
  });
  afterAll(() => on.drop());

  const query = <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> =>
    asAdmin(on.ownerUrl, async (owner) => (await owner.query<Row>(text, values)).rows);

  test.each([
    [RUNTIME_ROLE, RUNTIME],
    [RETENTION_ROLE, RETENTION],
  ])('%s may do what this table says, and nothing else', async (role, allowed) => {
    const rights = await query<{ object: string; may: string }>(RIGHTS, [role]);
    expect(Object.fromEntries(rights.map(({ object, may }) => [object, may]))).toEqual(allowed);
  });

  test('nothing that is created later is granted by default', async () => {
    expect(await query('SELECT defaclobjtype FROM pg_default_acl')).toEqual([]);
  });

  test('both roles own no table, are no superuser, bypass nothing, create nothing; nobody logs in as the retention role', async () => {
    const roles = await query(
      `SELECT rolname, rolcanlogin FROM pg_roles r WHERE rolname = ANY ($1) AND NOT (rolsuper OR rolbypassrls OR rolcreaterole
          OR rolcreatedb OR rolreplication OR rolinherit) AND NOT EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) ORDER BY 1 DESC`,
      [[RUNTIME_ROLE, RETENTION_ROLE]],
    );
    expect(roles).toEqual([
      { rolname: RUNTIME_ROLE, rolcanlogin: true },
      { rolname: RETENTION_ROLE, rolcanlogin: false },
    ]);
  });

  test('every function looks names up in public first and in pg_temp last, or was bound when it was created', async () => {
    const loose = await query(`
      SELECT oid::regprocedure::text AS function, proconfig FROM pg_proc
       WHERE pronamespace = 'public'::regnamespace AND prosqlbody IS NULL
         AND NOT coalesce('search_path=public, pg_temp' = ANY (proconfig), false)`);
    expect(loose).toEqual([]);
  });

  test('every function that may do more than its caller belongs to the retention role', async () => {
    const definers = await query<{ owner: string }>(
      `SELECT oid::regprocedure::text AS function, proowner::regrole::text AS owner FROM pg_proc
        WHERE prosecdef AND pronamespace = 'public'::regnamespace`,
    );
    expect(definers.filter(({ owner }) => owner !== RETENTION_ROLE)).toEqual([]);
    expect(definers).not.toEqual([]);
  });

  test('no view, rule or foreign table stands between a statement and its table', async () => {
    const between = await query(`
      SELECT relname FROM pg_class WHERE relkind IN ('v', 'm', 'f') AND relnamespace = 'public'::regnamespace
      UNION ALL SELECT rulename FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE c.relnamespace = 'public'::regnamespace`);
    expect(between).toEqual([]);
  });
});
