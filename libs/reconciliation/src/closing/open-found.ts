import { int8Array } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import { OPENED_JSON } from '../matching/breaks.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { IS_OPEN, smallEnough } from '../matching/sides.js';

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
 */
const OPEN_FOUND = `
WITH found AS MATERIALIZED (
  SELECT f.*, row_number() OVER () AS n FROM json_to_recordset($3::json) AS f (
    fingerprint text, kind text, reference text, object_ref text, item text, expected json, actual json, difference numeric, currency text, detail text)
), opened AS (
  INSERT INTO breaks AS b (merchant_id, id, created_at, reconciliation_id, fingerprint, kind, status, reference, object_ref, item, expected, actual,
                           difference, currency, detail)
  SELECT $1, ($4::bigint[])[n], snowflake_time(($4::bigint[])[n]), $2, fingerprint, kind, 'open', reference, object_ref, item, expected, actual,
         ${smallEnough('difference')}, currency, detail
    FROM found f
   WHERE f.item IS NULL
      OR (f.item NOT IN (SELECT item FROM reconciled_items WHERE merchant_id + 0 = $1 AND item = ANY (ARRAY(SELECT item FROM found)))
          AND f.item NOT IN (SELECT item FROM breaks WHERE merchant_id = $1 AND item = ANY (ARRAY(SELECT item FROM found)) AND ${IS_OPEN}))
  ON CONFLICT (merchant_id, fingerprint) DO NOTHING
  RETURNING b.id, ${OPENED_JSON} AS break
)
SELECT (SELECT json_agg(break ORDER BY id) FROM opened) AS opened, NULL::json AS ended`;

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
