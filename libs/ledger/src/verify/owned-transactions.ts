import type { Check } from '#platform/verify.js';

/**
 * Of a table whose rows list their transactions, and whose adjustments name it back in their metadata under `<noun>_id` and in their type
 * `<noun>.…`: each transaction is its row's, once, and no other's. `noun` is the table's name without its s.
 */
export function ownedTransactionsCheck(noun: 'payment' | 'payout'): Check {
  const named = `SELECT id::text AS owner, unnest(transactions) AS id FROM ${noun}s WHERE merchant_id = $1`;
  return {
    name: `every transaction that names a ${noun} is one of that ${noun}’s, once, and of no other`,
    count: `SELECT count(*) FROM ${noun}s WHERE merchant_id = $1`,
    find: `
SELECT * FROM (
  SELECT CASE WHEN l.id IS NULL THEN format('transaction %s: ${noun} %s does not know it', t.id, coalesce(t.owner, 'none'))
              ELSE format('${noun} %s: there is no transaction %s of it', l.owner, l.id) END
    FROM (${named}) l
    FULL JOIN (SELECT id, metadata ->> '${noun}_id' AS owner FROM transactions
                WHERE merchant_id = $1 AND kind = 'adjustment' AND (metadata ->> '${noun}_id' IS NOT NULL OR type LIKE '${noun}.%')) t
      ON t.id = l.id AND t.owner = l.owner
   WHERE l.id IS NULL OR t.id IS NULL
  UNION ALL
  SELECT format('transaction %s is named by ${noun}s %s', id, string_agg(owner, ', ')) FROM (${named}) l GROUP BY id HAVING count(*) > 1
) broken LIMIT $2`,
  };
}
