import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import { ENDED_JSON, endedAs, OPENED_JSON } from '../matching/breaks.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { IS_OPEN, smallEnough } from '../matching/sides.js';

/** What a fingerprint has behind it of a break that came after another one of it. */
export const AFTER = '/after ';

/** A break that was found without the merchant's lock. Amounts are text. */
export interface FoundBreak {
  readonly fingerprint: string;
  readonly kind: string;
  readonly reference: string | null;
  readonly object_ref: string | null;
  readonly item: string | null;
  readonly expected: object | null;
  readonly actual: object | null;
  readonly difference: string | null;
  readonly currency: string | null;
  readonly detail: string;
}

/**
 * $1 merchant, $2 report, $3 the breaks, $4 their ids. An item that was matched or got a break in the meantime is not missing any more.
 * What was found before under the same fingerprint is the same break, also where people have ended it: unless it has ended by itself, or,
 * of what has no item, says another difference. Then this is another one, `/after` it, and an open one ends as it is no longer true.
 */
const OPEN_FOUND = `
WITH found AS MATERIALIZED (
  SELECT f.*, row_number() OVER () AS n FROM json_to_recordset($3::json) AS f (
    fingerprint text, kind text, reference text, object_ref text, item text, expected json, actual json, difference numeric, currency text, detail text)
), before AS MATERIALIZED (
  SELECT f.n, b.id, b.status, b.resolution IS NULL AS is_open, b.difference IS NOT DISTINCT FROM ${smallEnough('f.difference')} AS is_same
    FROM found f
   CROSS JOIN LATERAL (SELECT id, status, resolution, difference, fingerprint FROM breaks
                        WHERE merchant_id = $1 AND fingerprint >= f.fingerprint AND fingerprint < f.fingerprint || '/after!' OFFSET 0) b
   WHERE b.fingerprint = f.fingerprint OR starts_with(b.fingerprint, f.fingerprint || '${AFTER}')
), gone AS MATERIALIZED (
  SELECT n, max(id) AS last, bool_or(status <> 'auto_resolved' AND is_same) AS is_known, bool_or(status <> 'auto_resolved') AS is_kept FROM before GROUP BY n
), opened AS (
  INSERT INTO breaks AS b (merchant_id, id, created_at, reconciliation_id, fingerprint, kind, status, reference, object_ref, item, expected, actual,
                           difference, currency, detail)
  SELECT $1, ($4::bigint[])[f.n], snowflake_time(($4::bigint[])[f.n]), $2, f.fingerprint || coalesce('${AFTER}' || g.last, ''), kind, 'open', reference,
         object_ref, item, expected, actual, ${smallEnough('difference')}, currency, detail
    FROM found f LEFT JOIN gone g ON g.n = f.n
   WHERE CASE WHEN f.item IS NULL THEN NOT coalesce(g.is_known, false) ELSE NOT coalesce(g.is_kept, false)
          AND f.item NOT IN (SELECT item FROM reconciled_items WHERE merchant_id + 0 = $1 AND item = ANY (ARRAY(SELECT item FROM found)))
          AND f.item NOT IN (SELECT item FROM breaks WHERE merchant_id = $1 AND item = ANY (ARRAY(SELECT item FROM found)) AND ${IS_OPEN}) END
  ON CONFLICT (merchant_id, fingerprint) DO NOTHING
  RETURNING b.id, ${OPENED_JSON} AS break
), ended AS (
  UPDATE breaks b SET ${endedAs("'It has another difference by now.'", `'followed_by', ($4::bigint[])[e.n]::text`)}
    FROM (SELECT p.id, p.n FROM before p JOIN found f ON f.n = p.n AND f.item IS NULL JOIN gone g ON g.n = p.n AND NOT g.is_known WHERE p.is_open) e
   WHERE b.merchant_id = $1 AND b.id = e.id AND b.id = ANY (ARRAY(SELECT id FROM before)) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)
SELECT (SELECT json_agg(break ORDER BY id) FROM opened) AS opened, (SELECT json_agg(break ORDER BY id) FROM ended) AS ended`;

/** Opens them, a few at a time, as postings wait meanwhile. */
export async function openFound(
  { database, ids, breaksAtOnce }: Matching,
  report: MatchedReport,
  found: readonly FoundBreak[],
  deadline: () => Deadline,
): Promise<void> {
  for (let from = 0; from < found.length; from += breaksAtOnce) {
    const some = found.slice(from, from + breaksAtOnce);
    const breakIds = int8Array(some.map(() => ids.next()));
    const values = [report.merchantId, report.id, JSON.stringify(some), breakIds];
    await behindLock(database, report, { text: OPEN_FOUND, values }, deadline());
  }
}
