import type { MigrationInterface, QueryRunner } from 'typeorm';

const UP = `
-- The name as far as it tells operators apart: neither by case nor by space. Null: an older key that is valid has the same, of before this was looked at.
ALTER TABLE operator_keys ADD COLUMN identity text;`;
const INDEX = `
CREATE UNIQUE INDEX operator_keys_identity ON operator_keys (identity) WHERE revoked_at IS NULL;`;

/** As foldedText of libs/kernel/src/text.ts was when this was written. */
function identityOf(name: string): string {
  const seen = name.normalize('NFKC').replace(/\p{Default_Ignorable_Code_Point}/gu, '');
  return seen.toLowerCase().toUpperCase().toLowerCase().normalize('NFKC').replace(/\s+/gu, ' ').trim();
}

/** Operators are told apart as people tell names apart. Adds a column and its index; two valid keys of one name by now both stay. */
export class OperatorIdentities1764920200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(UP);
    const keys: { id: string; name: string; is_valid: boolean }[] = await runner.query(
      'SELECT id, name, revoked_at IS NULL AS is_valid FROM operator_keys ORDER BY operator_keys.id FOR UPDATE',
    );
    const taken = new Set<string>();
    for (const { id, name, is_valid } of keys) {
      const identity = identityOf(name);
      if (is_valid && taken.has(identity)) continue;
      if (is_valid) taken.add(identity);
      await runner.query('UPDATE operator_keys SET identity = $2 WHERE id = $1', [id, identity]);
    }
    await runner.query(INDEX);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE operator_keys DROP COLUMN identity');
  }
}
