import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Payments of before posted one entry on merchant_payable, whatever it was of. */
export class NetItems1764715000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
ALTER TABLE payable_items ADD COLUMN net boolean;
COMMENT ON COLUMN payable_items.net IS
  'true: its entry is from before each kind had one of its own, and may be of several kinds of its payment'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE payable_items DROP COLUMN net');
  }
}

/**
 * $1 merchant. An entry that moved several kinds at once, such as a refund that waited for its capture, cannot be told apart any more:
 * all of it is of the kind of the fact that its transaction is named after. Types of transactions are their clients' to choose, but
 * those of payments' transactions are ours.
 */
const FILL = `
INSERT INTO payable_items (merchant_id, account_id, account_version, kind, subject_id, net)
SELECT e.merchant_id, e.account_id, e.account_version,
       CASE WHEN e.type LIKE 'payment.refund%' THEN 'refund' WHEN e.type LIKE 'payment.dispute%' THEN 'dispute' ELSE 'payment' END,
       p.id, true
  FROM (SELECT id, unnest(transactions) AS transaction_id FROM payments WHERE merchant_id = $1) p
  JOIN entries e ON e.merchant_id = $1 AND e.transaction_id = p.transaction_id AND e.posted_amount <> 0
  JOIN accounts a ON a.merchant_id = $1 AND a.id = e.account_id AND a.code = 'merchant_payable:' || a.currency
ON CONFLICT DO NOTHING`;

/** Merchant by merchant, each in a transaction of its own: it may be killed at any moment and run again. */
export class FillPayableItems1764715000001 implements MigrationInterface {
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    for (const merchantId of await merchantIds(runner)) {
      await runner.startTransaction();
      try {
        await runner.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchantId}}`]);
        await runner.query(FILL, [merchantId]);
        await runner.commitTransaction();
      } catch (error) {
        await runner.rollbackTransaction();
        throw error;
      }
    }
  }

  async down(): Promise<void> {
    // The items go with their table.
  }
}

/** Row-level security binds an owner who is no superuser, too. */
async function merchantIds(runner: QueryRunner): Promise<string[]> {
  await runner.startTransaction();
  try {
    await runner.query(`SELECT set_config('counterfoil.platform', 'on', true)`);
    const rows = await runner.query('SELECT id FROM merchants ORDER BY id');
    return rows.map(({ id }: { id: unknown }) => String(id));
  } finally {
    await runner.rollbackTransaction();
  }
}
