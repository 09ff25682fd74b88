import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = `
-- Reports of our own checks end with the day that was settled last: one for each of a merchant's.
CREATE UNIQUE INDEX reconciliations_internal ON reconciliations (merchant_id, period_to) WHERE source = 'internal';`;

/** At most one check of a merchant's books for each settled day. Adds an index. */
export class InternalReports1764800400000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX reconciliations_internal');
  }
}
