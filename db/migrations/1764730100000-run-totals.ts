import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What a run's merchants are owed for its day, by currency. Adds a column to settlement_runs. */
export class RunTotals1764730100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
-- By currency, an object of {settlements, gross, refunds, …}: the sums of the completed ranges, as strings.
ALTER TABLE settlement_runs ADD COLUMN totals json NOT NULL DEFAULT '{}';
GRANT UPDATE (totals) ON settlement_runs TO counterfoil_runtime`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE settlement_runs DROP COLUMN totals');
  }
}
