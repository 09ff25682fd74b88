import type { MigrationInterface, QueryRunner } from 'typeorm';

const EPOCHS = `
-- Transaction ids belong to a server. Where the log is found on another one, or the server in another history of itself, an
-- epoch begins: a transaction's place in the log (events.xid) is its id, moved to behind all places of earlier epochs.
CREATE TABLE log_epochs (
  number integer PRIMARY KEY CHECK (number >= 0),
  -- place in the log = transaction id + xid_offset
  xid_offset bigint NOT NULL,
  -- The server, and its history: a restore to a point in time and a failover begin a new timeline.
  system_identifier bigint NOT NULL,
  timeline integer NOT NULL,
  -- The start of the server that was last found to be of this epoch. In memory, cheap to compare, and another server's differs.
  server_started_at timestamptz,
  began_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON log_epochs TO counterfoil_runtime;`;

const SERVER = `
CREATE FUNCTION server_timeline() RETURNS integer LANGUAGE sql VOLATILE SET search_path = public, pg_temp
  RETURN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer;
-- Whether this is the epoch's server in the epoch's history. A standby follows its primary's.
CREATE FUNCTION is_server_of(epoch log_epochs) RETURNS boolean LANGUAGE sql VOLATILE SET search_path = public, pg_temp
  RETURN (SELECT system_identifier FROM pg_control_system()) = epoch.system_identifier
         AND CASE WHEN pg_is_in_recovery() THEN true ELSE server_timeline() = epoch.timeline END;
INSERT INTO log_epochs (number, xid_offset, system_identifier, timeline)
SELECT 0, 0, system_identifier, server_timeline() FROM pg_control_system();`;

/**
 * A new epoch's places begin at the present microsecond: also behind those of another restore of the same backup, which this
 * database does not know of. No clock is relied on for the order: they begin behind all that the log holds.
 */
const ENTER = `
-- Answers xid_offset of the epoch in which this server appends, and begins that epoch where it has not begun. The first
-- transaction to ask after a start of the server decides; those that ask meanwhile wait for its end.
CREATE FUNCTION enter_log_epoch() RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER
  SET search_path = public, pg_temp AS $$
DECLARE
  newest log_epochs;
  last bigint;
  scope text := current_setting('counterfoil.platform', true);
BEGIN
  SELECT * INTO newest FROM log_epochs ORDER BY number DESC LIMIT 1;
  IF newest.server_started_at = pg_postmaster_start_time() THEN RETURN newest.xid_offset; END IF;
  LOCK TABLE log_epochs IN SHARE ROW EXCLUSIVE MODE;
  SELECT * INTO newest FROM log_epochs ORDER BY number DESC LIMIT 1;
  IF newest.server_started_at = pg_postmaster_start_time() THEN RETURN newest.xid_offset; END IF;
  PERFORM set_config('counterfoil.platform', 'relay', true);
  SELECT coalesce(max(place::text::bigint), 0) INTO last
    FROM (SELECT e.xid AS place FROM generate_series(0, 63) AS p CROSS JOIN LATERAL (
            SELECT xid FROM events WHERE partition = p::smallint ORDER BY xid DESC, seq DESC LIMIT 1) e
          UNION ALL SELECT xid FROM relay_cursors UNION ALL SELECT xid FROM consumer_positions) places;
  PERFORM set_config('counterfoil.platform', coalesce(scope, ''), true);
  -- Ids that this server has yet to give out, and that the log holds already: they were given out by another, or before a reset.
  IF is_server_of(newest) AND last <= newest.xid_offset + pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
    UPDATE log_epochs SET server_started_at = pg_postmaster_start_time() WHERE number = newest.number;
    RETURN newest.xid_offset;
  END IF;
  INSERT INTO log_epochs (number, xid_offset, system_identifier, timeline, server_started_at)
  SELECT newest.number + 1,
         greatest(last + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) - pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
         system_identifier, server_timeline(), pg_postmaster_start_time()
    FROM pg_control_system()
  RETURNING xid_offset INTO newest.xid_offset;
  RETURN newest.xid_offset;
END $$;
REVOKE ALL ON FUNCTION enter_log_epoch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enter_log_epoch TO counterfoil_runtime;
-- Its owner, by db/rights.ts.
GRANT SELECT, INSERT, UPDATE ON log_epochs TO counterfoil_retention;`;

const PLACES = `
-- The present transaction's place in the log. Some microseconds: whoever inserts many events asks once a statement.
CREATE FUNCTION log_xid() RETURNS xid8 LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
BEGIN
  RETURN (enter_log_epoch() + pg_current_xact_id()::text::bigint)::text::xid8;
END $$;
-- Every transaction whose place lies below has ended. On a server that has not appended yet, all there is lies below.
CREATE FUNCTION log_horizon() RETURNS xid8 LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE newest log_epochs;
BEGIN
  SELECT * INTO newest FROM log_epochs ORDER BY number DESC LIMIT 1;
  IF newest.server_started_at = pg_postmaster_start_time() OR is_server_of(newest) THEN
    RETURN (newest.xid_offset + pg_snapshot_xmin(pg_current_snapshot())::text::bigint)::text::xid8;
  END IF;
  RETURN '9223372036854775807'::xid8;
END $$;
-- Catalogue alone: no row is written anew, and no index.
ALTER TABLE events ALTER COLUMN xid SET DEFAULT log_xid();
ALTER TABLE webhook_endpoints ALTER COLUMN since_xid SET DEFAULT log_xid();`;

/** Positions outlive the server that gave them out: places in the log are transaction ids, moved by epoch (docs/adr/0014). */
export class LogEpochs1764410000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [EPOCHS, SERVER, ENTER, PLACES]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
ALTER TABLE events ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
ALTER TABLE webhook_endpoints ALTER COLUMN since_xid SET DEFAULT pg_current_xact_id();
DROP FUNCTION log_horizon, log_xid, enter_log_epoch;
DROP FUNCTION is_server_of;
DROP TABLE log_epochs;
DROP FUNCTION server_timeline;`);
  }
}
