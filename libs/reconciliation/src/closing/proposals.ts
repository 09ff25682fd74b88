import { MOVING_FACTS } from '#payments/payment-items.js';
import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { IS_OPEN, timeJson } from '../matching/sides.js';
import { isBank } from '../matching/statements.js';
import { byKeys } from '../matching/turn.js';
import { ITEMS_OF_SUBJECTS } from './absent.js';
import { coveringSet } from './covering-set.js';
import { type Near, nearOf, nearPayouts, type Uncovered } from './near-payouts.js';

/** Breaks of a report for which items are looked for: the first. */
const ROWS_MAX = 100;
const DAYS = 7;
/** Facts before and after the row, the nearest, whose items are looked at; and of these the nearest. */
const FACTS_NEAR = 200;
const ITEMS_NEAR = 30;

/** $1 merchant, $2 report, $3 so many. Rows that stand against nothing, or against another amount. */
const UNCOVERED = `
SELECT b.id, r.type, r.gross, r.currency, r.occurred_at
  FROM breaks b JOIN report_rows r ON r.merchant_id = $1 AND r.source = b.row_source AND r.identity = b.row_identity
 WHERE b.merchant_id = $1 AND b.reconciliation_id = $2 AND b.kind IN ('missing_in_ledger', 'payout_mismatch') AND b.${IS_OPEN}
   AND b.candidates IS NULL
 ORDER BY b.id LIMIT $3`;

const NEAREST = `
SELECT coalesce(json_agg(json_build_object('item', item, 'amount', amount::text, 'currency', currency, 'occurred_at', ${timeJson('at')}) ORDER BY n), '[]')
         AS items`;

const near = (order: string): string =>
  `SELECT subject FROM payment_facts WHERE merchant_id = $1 AND type IN ${MOVING_FACTS} ${order} LIMIT ${FACTS_NEAR}`;

/** $1 merchant, $2 the row's time, $3 so many days, $4 provider, $5 source, $6 kind, $7 currency, $8 items at most. Nobody has matched them. */
const NEAR_PAYMENTS = `
WITH subjects AS MATERIALIZED (
  (${near(`AND occurred_at <= $2 AND occurred_at >= $2::timestamptz - $3::int * interval '1 day' ORDER BY occurred_at DESC`)})
  UNION
  (${near(`AND occurred_at > $2 AND occurred_at <= $2::timestamptz + $3::int * interval '1 day' ORDER BY occurred_at`)})
),${ITEMS_OF_SUBJECTS}
${NEAREST} FROM (
  SELECT i.item, i.amount, f.currency, i.at, row_number() OVER (ORDER BY abs(extract(epoch FROM i.at - $2)), i.item) AS n
    FROM items i JOIN found f ON f.id = i.payment_id
   WHERE i.kind = $6 AND f.currency = $7 AND i.state = 'due' AND NOT i.is_taken
     AND abs(extract(epoch FROM i.at - $2)) <= $3::int * 86400) i
 WHERE n <= $8::int`;

/** $1 merchant, $2 breaks, $3 their candidates. */
const PROPOSE = `
WITH proposed AS (
  UPDATE breaks b SET candidates = p.candidates
    FROM (SELECT * FROM unnest($2::bigint[], $3::json[]) AS p (id, candidates)) p
   WHERE b.merchant_id = $1 AND b.id = p.id AND b.id = ANY ($2::bigint[]) AND b.candidates IS NULL AND b.resolution IS NULL)
SELECT NULL::json AS opened, NULL::json AS ended`;

/** Proposes what rows may be of, that are of nothing known: items whose sum they are. People decide; nothing is matched by it. */
export async function proposeItems(matching: Matching, report: MatchedReport, deadline: () => Deadline): Promise<void> {
  const { merchantId, id } = report;
  const rows = await matching.database.read<Uncovered>({ merchantIds: [merchantId] }, deadline(), {
    text: UNCOVERED,
    values: [merchantId, id, ROWS_MAX],
  });
  const ofBank = isBank(report.source) && (await nearPayouts(matching, report, rows, DAYS, ITEMS_NEAR, deadline()));
  const proposals: [id: bigint, candidates: string][] = [];
  for (const row of rows) {
    const near = ofBank ? (ofBank.get(row.id) ?? []) : await nearPayments(matching, report, row, deadline());
    const set = coveringSet(row.gross, near);
    if (set) proposals.push([row.id, JSON.stringify(set.map(({ told }) => ({ ...told, proposed: true })))]);
  }
  if (proposals.length === 0) return;
  const values = [
    merchantId,
    proposals.map(([breakId]) => String(breakId)),
    proposals.map(([, candidates]) => candidates),
  ];
  await behindLock(matching.database, report, { text: PROPOSE, values }, deadline());
}

async function nearPayments(
  { database }: Matching,
  { merchantId, provider, source }: MatchedReport,
  { occurred_at, type, currency }: Uncovered,
  deadline: Deadline,
): Promise<Near[]> {
  const values = [merchantId, new Date(occurred_at), DAYS, provider ?? null, source, type, currency, ITEMS_NEAR];
  const { items } = await database.transaction({ merchantIds: [merchantId] }, deadline, (client) =>
    byKeys<{ items: string }>(client, { text: NEAR_PAYMENTS, values }),
  );
  return nearOf(items);
}
