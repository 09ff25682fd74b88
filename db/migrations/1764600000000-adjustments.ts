import type { MigrationInterface, QueryRunner } from 'typeorm';

const BEFORE = {
  kind: `kind IN ('posted', 'pending', 'capture', 'void', 'expiry', 'reversal')`,
  parent: `(parent_id IS NULL) = (kind IN ('posted', 'pending'))`,
};
const KINDS = {
  kind: `kind IN ('posted', 'pending', 'capture', 'void', 'expiry', 'reversal', 'adjustment')`,
  parent: `(parent_id IS NULL) = (kind IN ('posted', 'pending', 'adjustment'))`,
};

/**
 * The checks of kinds, found by what they say: PostgreSQL chose their names. NOT VALID: rows that are there are not read while
 * the table is locked against everybody.
 */
function replaceChecks({ kind, parent }: typeof KINDS): string {
  return `
DO $$ DECLARE old name; BEGIN
  FOR old IN SELECT conname FROM pg_constraint
              WHERE conrelid = 'transactions'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%kind%'
  LOOP
    EXECUTE format('ALTER TABLE transactions DROP CONSTRAINT %I', old);
  END LOOP;
END $$;
ALTER TABLE transactions
  ADD CONSTRAINT transactions_kind CHECK (${kind}) NOT VALID,
  ADD CONSTRAINT transactions_parent CHECK (${parent}) NOT VALID`;
}

/**
 * A kind more: 'adjustment', what a payment's position moved by, which has no parent.
 * Contracts: two checks, which at once are there again and let through all that the release before writes.
 */
export class Adjustments1764600000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(replaceChecks(KINDS));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(replaceChecks(BEFORE));
  }
}

/** By itself: it reads the whole table under a lock that lets everybody read and write. */
export class ValidateAdjustments1764600000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE transactions VALIDATE CONSTRAINT transactions_kind');
    await runner.query('ALTER TABLE transactions VALIDATE CONSTRAINT transactions_parent');
  }

  async down(): Promise<void> {
    // What was found valid is not found otherwise.
  }
}
