import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who is paid out by hand needs no destination: column payout_schedules.destination may be NULL. */
export class SchedulesWithoutDestination1764735000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
ALTER TABLE payout_schedules
  ALTER COLUMN destination DROP NOT NULL,
  ADD CONSTRAINT payout_schedules_daily CHECK (schedule = 'manual' OR destination IS NOT NULL)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
DELETE FROM payout_schedules WHERE destination IS NULL;
ALTER TABLE payout_schedules DROP CONSTRAINT payout_schedules_daily, ALTER COLUMN destination SET NOT NULL`);
  }
}
