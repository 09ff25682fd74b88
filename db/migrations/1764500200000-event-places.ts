import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * An event's place in the log is the server's to give: at a place of one's own choosing an event would stand before what readers
 * are past already, and a very high one would carry the next epoch beyond what xid8 holds. The writer asks for the place once a
 * statement, so xid cannot be left to its default: it is compared. Owners may put a log back as it was.
 */
const PLACES = `
CREATE FUNCTION check_event_places() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE here xid8 := log_xid();
BEGIN
  IF EXISTS (SELECT FROM added WHERE xid <> here) THEN
    RAISE EXCEPTION 'an event is appended at the place of its transaction, %', here
      USING ERRCODE = 'check_violation', CONSTRAINT = 'events_at_their_place';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER events_at_their_place AFTER INSERT ON events REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT WHEN (current_user = 'counterfoil_runtime') EXECUTE FUNCTION check_event_places();
REVOKE INSERT ON events FROM counterfoil_runtime;
GRANT INSERT (merchant_id, xid, type, version, occurred_at, trace_context, data) ON events TO counterfoil_runtime;`;

/** The runtime role can append to the log, and nowhere else in it. */
export class EventPlaces1764500200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(PLACES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
DROP TRIGGER events_at_their_place ON events;
DROP FUNCTION check_event_places;
GRANT INSERT ON events TO counterfoil_runtime`);
  }
}
