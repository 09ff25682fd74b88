import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = `
-- Since when a report is being forgotten: nobody is shown it any more, and its rows go, some at a time.
ALTER TABLE reconciliations ADD COLUMN forgotten_at timestamptz;
-- Turns that failed while it was matched, one after another.
ALTER TABLE reconciliations ADD COLUMN tries integer NOT NULL DEFAULT 0;
GRANT UPDATE (forgotten_at, tries), DELETE ON reconciliations TO counterfoil_runtime;
GRANT DELETE ON report_rows TO counterfoil_runtime;`;

/** Reports are forgotten, and what cannot be matched fails at last. Adds columns and rights. */
export class ForgetReports1764920100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('REVOKE DELETE ON reconciliations, report_rows FROM counterfoil_runtime');
    await runner.query('ALTER TABLE reconciliations DROP COLUMN forgotten_at, DROP COLUMN tries');
  }
}
