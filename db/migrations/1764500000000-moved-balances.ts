import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A commit group that would leave out a balance fails in its own statement, before COMMIT: later it could only be told. */
export class MovedBalances1764500000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
CREATE FUNCTION check_moved_balances(wanted integer, moved bigint) RETURNS void
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF moved <> wanted THEN
    RAISE EXCEPTION '% balances were to move, but % did', wanted, moved
      USING ERRCODE = 'check_violation', CONSTRAINT = 'balances_all_moved';
  END IF;
END $$`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION check_moved_balances');
  }
}
