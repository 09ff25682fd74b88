import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = `
-- How many breaks of each kind are open, and since when, is looked up kind by kind. Only what is open is in it.
CREATE INDEX breaks_open_of_kind ON breaks (kind, id) WHERE resolution IS NULL;`;

/** By what open breaks are counted, of all merchants. Adds an index. */
export class OpenBreaksByKind1765050320000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX breaks_open_of_kind');
  }
}
