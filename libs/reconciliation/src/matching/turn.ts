import { PLAN_BY_KEYS } from '#platform/plan-by-keys.js';
import { allSettledThenThrow, type Query, type TransactionClient } from '#platform/postgres.js';

/** $1 merchant. Whoever matches rows of a merchant waits for those who do; to be taken after the merchant's lock, where both are. */
const TAKE_TURN = {
  name: 'take-reconciliation-turn',
  text: `INSERT INTO reconciliation_turns (merchant_id) VALUES ($1)
         ON CONFLICT (merchant_id) DO UPDATE SET merchant_id = excluded.merchant_id`,
};

/** The one row that the statement tells, in the merchant's turn. */
export async function inTurn<Row extends object>(
  client: TransactionClient,
  merchantId: bigint,
  statement: Query,
): Promise<Row> {
  const [, , result] = await allSettledThenThrow([
    client.query<Row & Record<string, unknown>>({ ...TAKE_TURN, values: [merchantId] }),
    client.query<Row & Record<string, unknown>>({ text: PLAN_BY_KEYS }),
    client.query<Row & Record<string, unknown>>(statement),
  ]);
  return onlyRow(result?.rows);
}

/** The one row of a statement that only reads. */
export async function byKeys<Row extends object>(client: TransactionClient, statement: Query): Promise<Row> {
  const [, result] = await allSettledThenThrow([
    client.query<Row & Record<string, unknown>>({ text: PLAN_BY_KEYS }),
    client.query<Row & Record<string, unknown>>(statement),
  ]);
  return onlyRow(result?.rows);
}

function onlyRow<Row>(rows: readonly Row[] | undefined): Row {
  const [row] = rows ?? [];
  if (!row) throw new Error('the statement tells one row');
  return row;
}
