import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Runs that are over are forgotten after SETTLEMENT_RUN_RETENTION_DAYS. Adds rights. */
export class ForgetRuns1764736000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('GRANT DELETE ON settlement_runs, settlement_ranges TO counterfoil_runtime');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('REVOKE DELETE ON settlement_runs, settlement_ranges FROM counterfoil_runtime');
  }
}
