import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A version of a fee plan that has not begun can be taken back. */
export class VersionsTakenBack1764735100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('GRANT DELETE ON fee_plan_versions TO counterfoil_runtime');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('REVOKE DELETE ON fee_plan_versions FROM counterfoil_runtime');
  }
}
