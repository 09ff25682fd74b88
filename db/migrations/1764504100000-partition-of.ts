import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The partition of the log that a merchant is in, for whoever asks; the columns that are generated have the same expression. */
export class PartitionOf1764504100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // With a body of the SQL standard it is bound now, needs no search path, and is inlined.
    await runner.query(`
CREATE FUNCTION partition_of(merchant_id bigint) RETURNS smallint
  LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
  RETURN (hashint8(merchant_id) & 63)::smallint`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION partition_of');
  }
}
