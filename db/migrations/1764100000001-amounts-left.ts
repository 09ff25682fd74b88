import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What is left of a transaction is kept entry by entry, so that one of several amounts can be captured and reversed in part. Until
 * now that was all or nothing, unless the transaction had one debit and one credit of the same amount: which is how the rows
 * that are there are filled.
 */
const FILL = `
UPDATE transaction_states s SET left_amounts = w.left_amounts
  FROM (SELECT t.merchant_id, t.id,
               array_agg(CASE WHEN t.kind = 'pending'
                              THEN CASE WHEN cardinality(t.legs) = 4 THEN o.remaining WHEN o.remaining > 0 THEN e.pending_amount ELSE 0 END
                              ELSE CASE WHEN cardinality(t.legs) = 4 THEN e.posted_amount - o.reversed WHEN o.reversed = 0 THEN e.posted_amount ELSE 0 END
                         END ORDER BY leg) AS left_amounts,
               sum(CASE WHEN t.kind = 'pending' AND o.remaining > 0 AND e.direction = 1
                        THEN CASE WHEN cardinality(t.legs) = 4 THEN o.remaining ELSE e.pending_amount END ELSE 0 END) AS remaining
          FROM transaction_states o
          JOIN transactions t ON t.merchant_id = o.merchant_id AND t.id = o.transaction_id
                             AND t.created_at = snowflake_time(o.transaction_id)
         CROSS JOIN LATERAL generate_series(1, cardinality(t.legs), 2) AS leg
          JOIN entries e ON e.merchant_id = t.merchant_id AND e.account_id = t.legs[leg] AND e.account_version = t.legs[leg + 1]
         GROUP BY t.merchant_id, t.id) w
 WHERE s.merchant_id = w.merchant_id AND s.transaction_id = w.id`;

/** Of several currencies `remaining` and `reversed` counted the first alone; now all debits, so that 0 means that nothing is left. */
const COUNT_ALL_DEBITS = `
UPDATE transaction_states s
   SET remaining = CASE WHEN t.kind = 'pending' THEN w.left_debits ELSE 0 END,
       reversed = CASE WHEN t.kind = 'pending' THEN 0 ELSE w.debits - w.left_debits END
  FROM transactions t CROSS JOIN LATERAL (
    SELECT sum(o.left_amounts[(leg + 1) / 2]) AS left_debits, sum(e.posted_amount) AS debits
      FROM transaction_states o CROSS JOIN generate_series(1, cardinality(t.legs), 2) AS leg
      JOIN entries e ON e.merchant_id = t.merchant_id AND e.account_id = t.legs[leg] AND e.account_version = t.legs[leg + 1]
     WHERE o.merchant_id = t.merchant_id AND o.transaction_id = t.id AND e.direction = 1) w
 WHERE t.merchant_id = s.merchant_id AND t.id = s.transaction_id AND t.created_at = snowflake_time(s.transaction_id)
   AND cardinality(t.legs) > 4`;

export class AmountsLeft1764100000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('LOCK TABLE transaction_states IN ACCESS EXCLUSIVE MODE');
    await runner.query('ALTER TABLE transaction_states ADD COLUMN left_amounts bigint[]');
    // Row-level security binds an owner who is no superuser, too; the setting ends with the transaction.
    await runner.query(`SELECT set_config('counterfoil.platform', 'on', true)`);
    await runner.query(
      `SELECT set_config('counterfoil.merchant_ids', coalesce((SELECT array_agg(id)::text FROM merchants), '{}'), true)`,
    );
    await runner.query(FILL);
    await runner.query(COUNT_ALL_DEBITS);
    await runner.query(`
ALTER TABLE transaction_states ALTER COLUMN left_amounts SET NOT NULL,
  ADD CONSTRAINT transaction_states_left CHECK (cardinality(left_amounts) >= 2 AND 0 <= ALL (left_amounts));
COMMENT ON COLUMN transaction_states.left_amounts IS
  'Of each entry, in their order: minor units that a hold still holds, or that are not reversed of money that moved';
COMMENT ON COLUMN transaction_states.remaining IS 'Sum of the debits of left_amounts of a hold, else 0';
COMMENT ON COLUMN transaction_states.reversed IS 'What of all debits is reversed: never below 0, so that no more comes back than went';
GRANT UPDATE (left_amounts) ON transaction_states TO counterfoil_runtime;`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE transaction_states DROP COLUMN left_amounts');
  }
}
