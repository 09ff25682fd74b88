import { firstSnowflakeAt } from '#kernel/snowflake.js';
import type { Deadline } from '#platform/deadline.js';
import { sinceOf } from '../matching/bank.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { expectedJson } from '../matching/sides.js';
import { byKeys } from '../matching/turn.js';
import { type Absent, absentOf, type Looked, type Period } from './absent.js';

const DAY_MS = 86_400_000;
/** How long before a statement's period a payout of it may have been asked for. */
const LOOK_BACK_MS = 60 * DAY_MS;
/** Names of batches that one look reads, one after another. */
const BATCHES_MAX = 100_000;

/**
 * $1 merchant, $2 from, $3 until, $4 the bank's source, $5 $6 ids of payouts from and until, $7 days to look back. `items`: what a bank should
 * have booked in the period: payouts, those that came back, and batches of processors (by the last of their rows). Batches are found one
 * after another in the index, as there are few.
 */
export const BANK_ITEMS = `
WITH RECURSIVE names AS (
  (SELECT source, batch, 1 AS n FROM report_rows WHERE merchant_id = $1 AND batch IS NOT NULL ORDER BY source, batch LIMIT 1)
  UNION ALL
  SELECT r.source, r.batch, n.n + 1
    FROM names n
   CROSS JOIN LATERAL (SELECT source, batch FROM report_rows
                        WHERE merchant_id = $1 AND batch IS NOT NULL AND (source, batch) > (n.source, n.batch) ORDER BY source, batch LIMIT 1) r
   WHERE n.n < ${BATCHES_MAX}
), recent AS MATERIALIZED (
  SELECT n.source, n.batch FROM names n
   CROSS JOIN LATERAL (SELECT occurred_at FROM report_rows r
                        WHERE r.merchant_id = $1 AND r.source = n.source AND r.batch = n.batch LIMIT 1) r
   WHERE n.source <> $4 AND r.occurred_at >= $2::timestamptz - $7::int * interval '1 day' AND r.occurred_at < $3::timestamptz + $7::int * interval '1 day'
), batches AS MATERIALIZED (
  SELECT 'batch/' || s.source || '/' || s.batch || '/' || s.currency AS item, s.batch AS reference, s.net AS amount, s.currency, s.at
    FROM recent n
   CROSS JOIN LATERAL (SELECT n.source, n.batch, r.currency, sum(r.net) FILTER (WHERE r.type <> 'payout') AS net, max(r.occurred_at) AS at
                         FROM report_rows r WHERE r.merchant_id = $1 AND r.source = n.source AND r.batch = n.batch GROUP BY r.currency) s
   WHERE s.net <> 0
), paid AS MATERIALIZED (
  SELECT w.way || '/' || p.id AS item, p.id::text AS reference, CASE w.way WHEN 'payout' THEN -p.amount ELSE p.amount END AS amount, p.currency,
         CASE w.way WHEN 'payout' THEN ${sinceOf("'paid'")} ELSE ${sinceOf("'returned'")} END AS at
    FROM payouts p CROSS JOIN (VALUES ('payout'), ('return')) w (way)
   WHERE p.merchant_id = $1 AND p.id >= $5::bigint AND p.id < $6::bigint
     AND (p.status = 'returned' OR (p.status = 'paid' AND w.way = 'payout'))
), items AS MATERIALIZED (
  SELECT * FROM (SELECT * FROM batches UNION ALL SELECT * FROM paid) i WHERE i.at >= $2 AND i.at < $3
)`;

/** $8 days of the SLA. What of it no statement has, nor may have: of what a row is that names several, is not known yet. */
const ABSENT = `${BANK_ITEMS}, absent AS MATERIALIZED (
  SELECT i.*, i.at + $8::int * interval '1 day' AS due_at FROM items i
    LEFT JOIN (SELECT item FROM reconciled_items WHERE merchant_id + 0 = $1 AND item = ANY (ARRAY(SELECT item FROM items))) m ON m.item = i.item
    LEFT JOIN (SELECT DISTINCT item FROM breaks WHERE merchant_id = $1 AND item = ANY (ARRAY(SELECT item FROM items)) AND status <> 'auto_resolved') b
      ON b.item = i.item
    LEFT JOIN (SELECT DISTINCT c.candidate ->> 'item' AS item
                 FROM breaks b CROSS JOIN LATERAL json_array_elements(b.candidates) c (candidate)
                WHERE b.merchant_id = $1 AND b.row_source = $4 AND b.resolution IS NULL AND b.kind = 'ambiguous') c ON c.item = i.item
   WHERE m.item IS NULL AND b.item IS NULL AND c.item IS NULL
)
SELECT count(*) FILTER (WHERE due_at > now())::int AS expected, min(due_at) FILTER (WHERE due_at > now()) AS next,
       json_agg(json_build_object(
         'fingerprint', 'missing_in_report/' || item, 'kind', 'missing_in_report', 'reference', reference, 'object_ref', NULL, 'item', item,
         'expected', ${expectedJson({ amount: 'amount', fee: 'NULL', currency: 'currency', at: 'at' })}, 'actual', NULL,
         'difference', (-amount)::text, 'currency', currency, 'detail', 'No statement has told this.') ORDER BY at, item)
         FILTER (WHERE due_at <= now()) AS missing
  FROM absent`;

/** Parameters of `BANK_ITEMS`. */
export function valuesOfBank(merchantId: bigint, source: string, { fromMs, toMs }: Period): unknown[] {
  const ids = [firstSnowflakeAt(fromMs - LOOK_BACK_MS), firstSnowflakeAt(toMs)];
  return [merchantId, new Date(fromMs), new Date(toMs), source, ...ids, LOOK_BACK_MS / DAY_MS];
}

/** What a bank's statement of the period should have told. */
export async function absentPayouts(
  { database }: Matching,
  { merchantId, source, slaDays }: MatchedReport,
  period: Period,
  deadline: Deadline,
): Promise<Absent> {
  const values = [...valuesOfBank(merchantId, source, period), slaDays];
  return database.transaction({ merchantIds: [merchantId] }, deadline, async (client) =>
    absentOf(await byKeys<Looked>(client, { text: ABSENT, values })),
  );
}
