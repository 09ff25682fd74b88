import type { Deadline } from '#platform/deadline.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';

/**
 * $1 merchant, $2 report, $3 what is expected. What its rows come to by currency, in minor units as text: `matched` is the net of those in
 * a match, `unmatched` of the others.
 */
const COUNT = `
UPDATE reconciliations SET expected = $3::bigint, totals = (
  SELECT json_agg(json_build_object('currency', currency, 'rows', rows, 'gross', gross::text, 'fee', fee::text, 'net', net::text,
                                    'matched', matched::text, 'unmatched', (net - matched)::text) ORDER BY currency)
    FROM (SELECT currency, count(*) AS rows, sum(gross) AS gross, sum(fee) AS fee, sum(net) AS net,
                 coalesce(sum(net) FILTER (WHERE match_line IS NOT NULL), 0) AS matched
            FROM report_rows WHERE merchant_id = $1 AND reconciliation_id = $2 GROUP BY currency) t)
 WHERE merchant_id = $1 AND id = $2`;

export async function countReport(
  { database }: Matching,
  { merchantId, id }: MatchedReport,
  expected: number,
  deadline: Deadline,
): Promise<void> {
  await database.write({ merchantIds: [merchantId] }, deadline, { text: COUNT, values: [merchantId, id, expected] });
}
