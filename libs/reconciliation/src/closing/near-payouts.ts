import type { Deadline } from '#platform/deadline.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { timeJson } from '../matching/sides.js';
import { byKeys } from '../matching/turn.js';
import { BANK_ITEMS, valuesOfBank } from './absent-payouts.js';
import type { Candidate } from './covering-set.js';

/** A row that stands against nothing, or against another amount, with its break. */
export interface Uncovered extends Record<string, unknown> {
  id: bigint;
  type: string;
  gross: bigint;
  currency: string;
  occurred_at: number;
}

export type Near = Candidate & { readonly told: object };

const DAY_MS = 86_400_000;

/**
 * $1 to $7 as BANK_ITEMS has them, $8 rows, $9 days, $10 items of a row at most. What nobody has matched, nearest first. One statement for
 * all rows: what a bank should have told is read once.
 */
const NEAR_PAYOUTS = `${BANK_ITEMS}, free AS MATERIALIZED (
  SELECT i.*, split_part(i.item, '/', 1) AS way FROM items i
    LEFT JOIN (SELECT item FROM reconciled_items WHERE merchant_id + 0 = $1 AND item = ANY (ARRAY(SELECT item FROM items))) m ON m.item = i.item
    LEFT JOIN (SELECT DISTINCT item FROM breaks WHERE merchant_id = $1 AND item = ANY (ARRAY(SELECT item FROM items)) AND resolution IS NULL
                  AND kind <> 'missing_in_report') b ON b.item = i.item
   WHERE m.item IS NULL AND b.item IS NULL
)
SELECT (SELECT coalesce(json_agg(json_build_object('id', r.id::text, 'items', n.items)), '[]') AS found
          FROM json_to_recordset($8::json) AS r (id bigint, way text, currency text, at timestamptz)
         CROSS JOIN LATERAL (
           SELECT json_agg(json_build_object('item', item, 'amount', amount::text, 'currency', currency, 'occurred_at', ${timeJson('at')}) ORDER BY n)
                    AS items
             FROM (SELECT f.*, row_number() OVER (ORDER BY abs(extract(epoch FROM f.at - r.at)), f.item) AS n
                     FROM free f
                    WHERE f.way = r.way AND f.currency = r.currency AND f.at BETWEEN r.at - $9::int * interval '1 day' AND r.at + $9::int * interval '1 day')
                  nearest
            WHERE n <= $10::int) n
         WHERE n.items IS NOT NULL) AS found`;

/** By break: payouts, returns or batches that its row may be of. */
export async function nearPayouts(
  { database }: Matching,
  { merchantId, source }: MatchedReport,
  rows: readonly Uncovered[],
  days: number,
  most: number,
  deadline: Deadline,
): Promise<Map<bigint, Near[]>> {
  if (rows.length === 0) return new Map();
  const times = rows.map(({ occurred_at }) => occurred_at);
  const period = { fromMs: Math.min(...times) - days * DAY_MS, toMs: Math.max(...times) + days * DAY_MS + 1 };
  const asked = rows.map(({ id, type, gross, currency, occurred_at }) => {
    const way = type !== 'payout' ? 'batch' : gross < 0n ? 'payout' : 'return';
    return { id: String(id), way, currency, at: new Date(occurred_at) };
  });
  const values = [...valuesOfBank(merchantId, source, period), JSON.stringify(asked), days, most];
  const { found } = await database.transaction({ merchantIds: [merchantId] }, deadline, (client) =>
    byKeys<{ found: string }>(client, { text: NEAR_PAYOUTS, values }),
  );
  const told = JSON.parse(found) as { id: string; items: { item: string; amount: string }[] }[];
  return new Map(told.map(({ id, items }) => [BigInt(id), items.map(nearest)]));
}

export function nearOf(json: string): Near[] {
  return (JSON.parse(json) as { item: string; amount: string }[]).map(nearest);
}

function nearest(told: { item: string; amount: string }): Near {
  return { item: told.item, amount: BigInt(told.amount), told };
}
