import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Under row-level security an index finds rows by what "leaks" nothing alone: PostgreSQL takes COALESCE for what may, and CASE not. So by the
 * coalesced name nothing was found but put in order, and each look went through all open breaks of the merchant.
 */
const UP = `
DROP INDEX breaks_of_rows;
CREATE INDEX breaks_of_rows ON breaks (merchant_id, row_source, (CASE WHEN reference IS NULL THEN CASE WHEN object_ref IS NULL THEN '' ELSE object_ref END ELSE reference END), id)
  WHERE row_identity IS NOT NULL AND resolution IS NULL;
-- Nobody looks items up by their match, and each cost a microsecond more.
DROP INDEX reconciled_items_match;`;

const DOWN = `
DROP INDEX breaks_of_rows;
CREATE INDEX breaks_of_rows ON breaks (merchant_id, row_source, (coalesce(reference, object_ref, '')), id)
  WHERE row_identity IS NOT NULL AND resolution IS NULL;
CREATE INDEX reconciled_items_match ON reconciled_items (merchant_id, match_reconciliation_id, match_line);`;

/**
 * By what open breaks of rows are found; items have an index less. Contracts: no statement of a release found anything by either of the two indexes
 * that go.
 */
export class MatchingLookups1764930100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(DOWN);
  }
}
