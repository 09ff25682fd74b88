import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What a transaction made of its parent, found by the parent; and whether an operator posted it without regard to floors. The
 * new column has a constant default, so that no row is rewritten.
 */
export class TransactionFacts1764100000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE transactions ADD COLUMN ignored_floor boolean NOT NULL DEFAULT false');
    await runner.query(
      'CREATE INDEX transactions_parent ON transactions (merchant_id, parent_id, id) WHERE parent_id IS NOT NULL',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX transactions_parent');
    await runner.query('ALTER TABLE transactions DROP COLUMN ignored_floor');
  }
}
