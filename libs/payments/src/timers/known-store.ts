import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { FACT_JSON, type FactRow, PAYMENT_JSON, type PaymentRow } from '../payment-rows.js';

/** $1 merchant, $2 a payment, or a fact that waits. */
const FIND = {
  name: 'find-known-payment',
  text: `
WITH s AS (
  SELECT subject FROM payments WHERE merchant_id = $1 AND id = $2
  UNION ALL SELECT subject FROM payment_facts WHERE merchant_id = $1 AND id = $2 AND outcome = 'parked')
SELECT s.subject, (SELECT ${PAYMENT_JSON} FROM payments p WHERE p.merchant_id = $1 AND p.subject = s.subject) AS payment,
       (SELECT json_agg(${FACT_JSON}) FROM payment_facts f WHERE f.merchant_id = $1 AND f.subject = s.subject) AS facts
  FROM s LIMIT 1`,
};

/** All that is known where a timer's subject belongs. */
export async function findKnown(
  database: Database,
  { merchantId, id }: { merchantId: bigint; id: bigint },
  deadline: Deadline,
): Promise<{ subject: string; payment: PaymentRow | null; facts: FactRow[] } | undefined> {
  const query = { ...FIND, values: [merchantId, id] };
  const [row] = await database.read<{ subject: string; payment: string | null; facts: string | null }>(
    { merchantIds: [merchantId] },
    deadline,
    query,
  );
  return (
    row && { subject: row.subject, payment: JSON.parse(row.payment ?? 'null'), facts: JSON.parse(row.facts ?? '[]') }
  );
}
