import type { MigrationInterface, QueryRunner } from 'typeorm';

/** As it was (1764410000000-log-epochs), and it goes on in the newest epoch only where `and` holds as well. */
const enter = (and: string) => `
CREATE OR REPLACE FUNCTION enter_log_epoch() RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER
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
  IF ${and}is_server_of(newest) AND last <= newest.xid_offset + pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
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
END $$;`;

/** A new database's first epoch is that of the server which it was made on. */
const NOT_STARTED = 'newest.server_started_at IS NULL AND ';

/**
 * An epoch begins with each start of the server: files of a stopped server that were put back are those of the server that goes on, by
 * all that it can tell, but they cannot be put back without a start (docs/adr/0014).
 */
export class EpochOfEachStart1765040100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(enter(NOT_STARTED));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(enter(''));
  }
}
