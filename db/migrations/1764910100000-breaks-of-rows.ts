import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = `
-- Rows that have an open break are decided again with those that share their name. Only what is open is in it.
CREATE INDEX breaks_of_rows ON breaks (merchant_id, row_source, (coalesce(reference, object_ref, '')), id)
  WHERE row_identity IS NOT NULL AND resolution IS NULL;`;

/** By what rows are found that are decided again. Adds an index. */
export class BreaksOfRows1764910100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX breaks_of_rows');
  }
}
