import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = `
-- Rows of a report are taken in this order, so that those of one payment are decided together.
CREATE INDEX report_staging_order ON report_staging (merchant_id, reconciliation_id, (coalesce(reference, object_ref, '')), line);
-- What a report of a period should tell.
CREATE INDEX payment_facts_moved ON payment_facts (merchant_id, occurred_at)
  WHERE type IN ('captured', 'refunded', 'dispute_opened', 'dispute_funds_withdrawn', 'dispute_funds_reinstated', 'dispute_won', 'dispute_lost');`;

/** By what matching reads. Adds two indexes. */
export class MatchingIndexes1764800200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX report_staging_order, payment_facts_moved');
  }
}
