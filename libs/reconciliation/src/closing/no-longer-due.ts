import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import { ENDED_JSON, endedAs } from '../matching/breaks.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { isBank } from '../matching/statements.js';
import { byKeys } from '../matching/turn.js';
import { ITEMS_OF_SUBJECTS } from './absent.js';

/** $1 merchant, $2 the last break that was looked at, $3 so many. Items that nobody has told. */
const missing = (ofItem: string): string => `
missing AS MATERIALIZED (
  SELECT id, item, split_part(item, '/', 2)::bigint AS subject_id FROM breaks
   WHERE merchant_id = $1 AND resolution IS NULL AND kind = 'missing_in_report' AND ${ofItem} AND id > $2::bigint
   ORDER BY id LIMIT $3::int
)`;

/** $4 provider, $5 source. */
const OF_PAYMENTS = `${missing(`starts_with(item, 'payment/')`)}, subjects AS MATERIALIZED (
  SELECT subject FROM payments WHERE merchant_id = $1 AND id = ANY (ARRAY(SELECT subject_id FROM missing))
),${ITEMS_OF_SUBJECTS}, gone AS MATERIALIZED (
  SELECT m.id FROM missing m JOIN found f ON f.id = m.subject_id
    LEFT JOIN (SELECT item FROM items WHERE state = 'due') i ON i.item = m.item
   WHERE i.item IS NULL
)`;

const OF_PAYOUTS = `${missing(`(starts_with(item, 'payout/') OR starts_with(item, 'return/'))`)}, gone AS MATERIALIZED (
  SELECT m.id FROM missing m
    JOIN payouts p ON p.id = m.subject_id AND p.merchant_id = $1 AND p.id = ANY (ARRAY(SELECT subject_id FROM missing))
   WHERE p.status <> 'returned' AND (p.status <> 'paid' OR starts_with(m.item, 'return/'))
)`;

const LOOK = `
SELECT (SELECT count(*) FROM missing)::int AS looked, (SELECT max(id) FROM missing) AS last, (SELECT count(*) FROM gone)::int AS gone`;

const REASON = `'It failed, was reversed or was given back: nobody has to tell it.'`;

const END = `, ended AS (
  UPDATE breaks b SET ${endedAs(REASON, `'row', NULL`)}
   WHERE b.merchant_id = $1 AND b.id = ANY (ARRAY(SELECT id FROM gone)) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)
SELECT NULL::json AS opened, (SELECT json_agg(break ORDER BY id) FROM ended) AS ended`;

interface Looked {
  readonly looked: number;
  readonly last: bigint | null;
  readonly gone: number;
}

/** Ends breaks of items that no report has told, and that none has to tell any more. Nobody waits where there are none. */
export async function endNoLongerDue(
  matching: Matching,
  report: MatchedReport,
  deadline: () => Deadline,
): Promise<void> {
  const { database, breaksAtOnce } = matching;
  const { merchantId, provider, source } = report;
  const of = isBank(source) ? OF_PAYOUTS : OF_PAYMENTS;
  const more = isBank(source) ? [] : [provider ?? null, source];
  for (let last = 0n; ; ) {
    const values = [merchantId, last, breaksAtOnce, ...more];
    const seen = await database.transaction({ merchantIds: [merchantId] }, deadline(), (client) =>
      byKeys<Looked>(client, { text: `WITH ${of}${LOOK}`, values }),
    );
    if (seen.gone > 0) await behindLock(database, report, { text: `WITH ${of}${END}`, values }, deadline());
    if (seen.looked < breaksAtOnce || seen.last === null) return;
    last = seen.last;
  }
}
