import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A merchant's events are to stand in the order in which they were committed, whoever appends them. Their places are xids, which
 * a transaction has from its first write on, so the lock comes before it. The setting says whose locks the transaction holds:
 * it is rolled back to a savepoint with them, and costs a comparison where a look into pg_locks would lock all of that table.
 */
const LOCK = `
-- Merchants, sorted by the caller: whoever appends to their logs. Waits for whoever does so at present.
CREATE FUNCTION lock_merchants(merchants bigint[]) RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
BEGIN
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    RAISE EXCEPTION 'a transaction locks merchants before it writes: it has its place in the log already'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  PERFORM pg_advisory_xact_lock(id) FROM unnest(merchants) AS id;
  PERFORM set_config('counterfoil.locked_merchants', merchants::text, true);
END $$;`;

/** Of 1764500200000-event-places, and the second check. */
const CHECK_LOCKS = `
CREATE OR REPLACE FUNCTION check_event_places() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  here xid8 := log_xid();
  locked bigint[] := coalesce(nullif(current_setting('counterfoil.locked_merchants', true), ''), '{}');
BEGIN
  IF EXISTS (SELECT FROM added WHERE xid <> here) THEN
    RAISE EXCEPTION 'an event is appended at the place of its transaction, %', here
      USING ERRCODE = 'check_violation', CONSTRAINT = 'events_at_their_place';
  END IF;
  IF EXISTS (SELECT FROM added WHERE merchant_id <> ALL (locked)) THEN
    RAISE EXCEPTION 'an event is appended by who holds the lock of its merchant, not of %', locked
      USING ERRCODE = 'check_violation', CONSTRAINT = 'events_behind_their_lock';
  END IF;
  RETURN NULL;
END $$;`;

const CHECK_PLACES = `
CREATE OR REPLACE FUNCTION check_event_places() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE here xid8 := log_xid();
BEGIN
  IF EXISTS (SELECT FROM added WHERE xid <> here) THEN
    RAISE EXCEPTION 'an event is appended at the place of its transaction, %', here
      USING ERRCODE = 'check_violation', CONSTRAINT = 'events_at_their_place';
  END IF;
  RETURN NULL;
END $$;`;

/** The runtime role appends behind the merchant's lock, or not at all (docs/adr/0017). */
export class MerchantLocks1764502000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of [LOCK, CHECK_LOCKS]) await runner.query(sql);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const sql of [CHECK_PLACES, 'DROP FUNCTION lock_merchants']) await runner.query(sql);
  }
}
