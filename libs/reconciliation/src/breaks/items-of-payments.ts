import { invalid } from '#kernel/problem.js';
import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { FIND_ITEMS } from '../matching/payments.js';
import { byKeys } from '../matching/turn.js';
import type { BreakRow } from './break-row.js';

/** An item of a payment that the row of a break may be of. */
interface Offered {
  readonly payment_id: string;
  readonly item: string;
  readonly is_named: boolean;
  readonly is_equal: boolean;
}

/** $1 merchant, $2 source, $3 payments, $4 the row's identity. What of them is of the row's type, and neither undone nor taken. */
const ITEMS = `
WITH told_row AS MATERIALIZED (
  SELECT type, object_ref, gross, currency FROM report_rows WHERE merchant_id = $1 AND source = $2 AND identity = $4
), found AS MATERIALIZED (
  SELECT p.id, p.subject, p.provider_ref, p.currency, p.parts FROM payments p WHERE p.merchant_id = $1 AND p.id = ANY ($3::bigint[])
), placed AS (
  SELECT NULL::uuid AS identity, NULL::bigint AS break_id WHERE false
), wanted AS MATERIALIZED (
  SELECT f.id, r.type AS kind FROM found f CROSS JOIN told_row r WHERE f.currency = r.currency
),${FIND_ITEMS}
SELECT json_agg(json_build_object('payment_id', i.payment_id::text, 'item', i.item, 'is_named', coalesce(i.object_ref = r.object_ref, false),
                                  'is_equal', i.amount = r.gross) ORDER BY i.item) AS items
  FROM items i CROSS JOIN told_row r WHERE i.state <> 'undone' AND NOT i.is_taken`;

/** What a break between several payments may be matched with: their items. Nothing of others. */
export async function itemsOfPayments(database: Database, row: BreakRow, deadline: Deadline): Promise<Offered[]> {
  const payments = (row.candidates ?? []).flatMap(({ payment_id }) => payment_id ?? []);
  if (payments.length === 0 || row.row_identity === null) return [];
  const merchantId = BigInt(row.merchant_id);
  const values = [merchantId, row.row_source, int8Array(payments.map(BigInt)), row.row_identity];
  const { items } = await database.transaction({ merchantIds: [merchantId] }, deadline, (client) =>
    byKeys<{ items: string | null }>(client, { text: ITEMS, values }),
  );
  return JSON.parse(items ?? '[]') as Offered[];
}

/**
 * Where a person has chosen a payment, its item: the one that the row names, or else the only one of its amount. Throws
 * `validation_failed`, with the items that there are, where that is not one.
 */
export function chosenItems(chosen: readonly string[], row: BreakRow, offered: readonly Offered[]): string[] {
  return chosen.map((one, index) => {
    if (!row.candidates?.some(({ payment_id }) => payment_id === one)) return one;
    const items = offered.filter(({ payment_id }) => payment_id === one);
    const named = items.filter(({ is_named }) => is_named);
    const [item, ...more] = named.length > 0 ? named : items.filter(({ is_equal }) => is_equal);
    if (item !== undefined && more.length === 0) return item.item;
    const there = items.map((each) => each.item).join(', ') || 'none that is free';
    throw invalid(
      `candidates.${index}`,
      `must be an item of the payment, as not just one is of the row’s amount: ${there}`,
    );
  });
}
