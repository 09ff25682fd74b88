import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';

const FIND_PARKED = {
  name: 'find-parked-fact',
  text: `SELECT subject FROM payment_facts WHERE merchant_id = $1 AND id = $2 AND outcome = 'parked'`,
};

/** Where a fact that waits is kept, by the id with which it was received; undefined: it does not wait. */
export async function findParked(
  database: Database,
  merchantId: bigint,
  id: bigint,
  deadline: Deadline,
): Promise<{ subject: string } | undefined> {
  const query = { ...FIND_PARKED, values: [merchantId, id] };
  const [row] = await database.read<{ subject: string }>({ merchantIds: [merchantId] }, deadline, query);
  return row;
}
