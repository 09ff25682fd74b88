import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Rebuilds of read models: whose turn it is, and a number that no other attempt has had. */
export class Rebuilds1763765000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
-- newest_generation: the number of the newest attempt to rebuild, whether or not it is served one day. It belongs to whoever
-- counted it up, until claimed_until.
ALTER TABLE projections ADD COLUMN newest_generation integer, ADD COLUMN claimed_until timestamptz NOT NULL DEFAULT to_timestamp(0);
UPDATE projections SET newest_generation = generation;
ALTER TABLE projections ALTER COLUMN newest_generation SET NOT NULL, ADD CHECK (newest_generation >= generation);`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE projections DROP COLUMN newest_generation, DROP COLUMN claimed_until');
  }
}
