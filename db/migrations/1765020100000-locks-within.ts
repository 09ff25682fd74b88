import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * As `lock_merchants`, for a transaction that can do without some of its merchants. It waits so long in all, and in the order of all
 * others, for those whose lock somebody else holds; then it takes what is free. From then on it sees those alone whose lock it holds, so
 * that it neither reads nor locks nor writes a row of the others. A lock that was not there in time takes nothing with it: only that
 * wait is in a subtransaction, which has no xid.
 */
const LOCK = `
CREATE FUNCTION lock_merchants_within(merchants bigint[], wait_ms integer) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp SET lock_timeout = 0 AS $$
DECLARE
  ends timestamptz := clock_timestamp() + wait_ms * interval '1 millisecond';
  locked bigint[] := '{}';
  left_ms integer;
  id bigint;
BEGIN
  IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
    RAISE EXCEPTION 'a transaction locks merchants before it writes: it has its place in the log already'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  FOREACH id IN ARRAY merchants LOOP
    IF NOT pg_try_advisory_xact_lock(id) THEN
      left_ms := ceil(extract(epoch FROM ends - clock_timestamp()) * 1000);
      CONTINUE WHEN left_ms <= 0;
      BEGIN
        PERFORM set_config('lock_timeout', left_ms::text, true);
        PERFORM pg_advisory_xact_lock(id);
      EXCEPTION WHEN lock_not_available THEN
        CONTINUE;
      END;
    END IF;
    locked := locked || id;
  END LOOP;
  PERFORM set_config('counterfoil.merchant_ids', locked::text, true), set_config('counterfoil.locked_merchants', locked::text, true);
  RETURN locked;
END $$;`;

/** A commit group leaves behind whose merchant's lock another process holds for long (docs/adr/0032). */
export class LocksWithin1765020100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(LOCK);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION lock_merchants_within');
  }
}
