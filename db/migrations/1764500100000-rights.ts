import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A function looks names up along the search path of its caller, unless it has its own. pg_temp comes last, or it would come
 * first. What has an SQL-standard body (snowflake_time, webhook_delivery_id) was bound when it was created: it needs none,
 * and with one PostgreSQL could not inline it.
 */
const SEARCH_PATHS = [
  'refuse_purged_fence()',
  'check_entries()',
  'check_balances()',
  'refuse_older_balance()',
  'account_version_before(bigint, bigint, bigint, bigint)',
];

const relaying = `(SELECT current_setting('counterfoil.platform', true)) = 'relay'`;

/**
 * The owner of forget_events, which db/rights.ts makes it. Its restrictive policies hold whatever that function is asked for:
 * in the scope of the relay alone, and nothing that is younger than a day. A table that a function of its reads is granted here.
 */
const RETENTION = `
GRANT USAGE ON SCHEMA public TO counterfoil_retention;
GRANT SELECT, DELETE ON events TO counterfoil_retention;
GRANT SELECT ON relay_cursors, consumer_positions, parked_streams TO counterfoil_retention;
GRANT SELECT, INSERT, UPDATE ON event_horizons TO counterfoil_retention;
CREATE POLICY retention_scope ON events AS RESTRICTIVE TO counterfoil_retention USING (${relaying});
CREATE POLICY retention_age ON events AS RESTRICTIVE FOR DELETE TO counterfoil_retention
  USING (occurred_at < now() - interval '1 day');
CREATE POLICY retention_scope ON parked_streams AS RESTRICTIVE TO counterfoil_retention USING (${relaying});
CREATE POLICY retention_scope ON event_horizons AS RESTRICTIVE TO counterfoil_retention USING (${relaying});`;

/** Closes what let the runtime role reach further than it was granted. */
export class Rights1764500100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const name of SEARCH_PATHS) await runner.query(`ALTER FUNCTION ${name} SET search_path = public, pg_temp`);
    await runner.query(RETENTION);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
DROP POLICY retention_scope ON events; DROP POLICY retention_age ON events;
DROP POLICY retention_scope ON parked_streams; DROP POLICY retention_scope ON event_horizons;
REVOKE ALL ON events, relay_cursors, consumer_positions, parked_streams, event_horizons FROM counterfoil_retention;
REVOKE ALL ON SCHEMA public FROM counterfoil_retention`);
    for (const name of SEARCH_PATHS) await runner.query(`ALTER FUNCTION ${name} RESET search_path`);
  }
}
