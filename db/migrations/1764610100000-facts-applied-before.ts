import type { MigrationInterface, QueryRunner } from 'typeorm';

const APPLIED_BEFORE = `
-- Of one that was applied and then had to wait again, as a refund whose capture failed: its event is in the log already.
ALTER TABLE payment_facts ADD COLUMN applied_before boolean NOT NULL DEFAULT false;
GRANT UPDATE (applied_before) ON payment_facts TO counterfoil_runtime;`;

/** Each fact has one event, however often it comes to be applied. Adds a column. */
export class FactsAppliedBefore1764610100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(APPLIED_BEFORE);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE payment_facts DROP COLUMN applied_before');
  }
}
