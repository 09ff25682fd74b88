import type { Deadline } from '#platform/deadline.js';
import { behindLock } from '../matching/behind-lock.js';
import { ENDED_JSON, endedBy } from '../matching/breaks.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { inTurn } from '../matching/turn.js';
import { AFTER, type FoundBreak, openFound } from './open-found.js';

/** Batches that are looked at by one statement. */
const BATCHES_AT_ONCE = 1_000;

/** Sources whose batches are what is paid out: no row has to say so. The batches of others come to zero with the rows of their payouts. */
const WITHOUT_PAYOUT_ROWS: ReadonlySet<string> = new Set(['stripe_payout_reconciliation']);

const FOLLOWERS = `('fee', 'payout', 'other')`;

/** Rows of the batch `n`. See TOLD_ROWS for `+ 0`. */
const OF_BATCH = `SELECT * FROM report_rows WHERE merchant_id + 0 = $1 AND source = $3 AND batch = n.batch`;

/**
 * $1 merchant, $2 report, $3 source, $4 provider, $5 whether batches need no payout rows, $6 the last batch that was looked at, $7 so many.
 * Of batches that the report tells of: whether each is whole, and what of it belongs to no payment.
 */
const LOOK = `
named AS MATERIALIZED (
  SELECT DISTINCT batch FROM report_rows WHERE merchant_id = $1 AND reconciliation_id = $2::bigint AND batch > $6 ORDER BY batch LIMIT $7::int
), sums AS MATERIALIZED (
  SELECT r.batch, currency, coalesce(sum(net) FILTER (WHERE type <> 'payout'), 0) AS net,
         coalesce(sum(net) FILTER (WHERE type = 'payout'), 0) AS paid, count(*) FILTER (WHERE type = 'payout') AS payouts,
         coalesce(sum(net) FILTER (WHERE type = 'payment'), 0) AS payments
    FROM named n CROSS JOIN LATERAL (${OF_BATCH} OFFSET 0) r
   GROUP BY r.batch, currency
), settled AS MATERIALIZED (
  SELECT object_ref AS batch, currency, sum(amount - coalesce((more ->> 'fee')::bigint, 0)) AS net
    FROM payment_facts
   WHERE merchant_id + 0 = $1 AND object_ref = ANY (ARRAY(SELECT batch FROM named)) AND type = 'settled' AND outcome NOT IN ('rejected', 'discarded')
     AND ($4::text IS NULL OR left(subject, length($4) + 1) = $4 || '/')
   GROUP BY object_ref, currency
), batches AS MATERIALIZED (
  SELECT s.*, t.net AS settled, 'payout_mismatch/' || $3 || '/' || s.batch || '/' || s.currency AS fingerprint,
         (s.net + s.paid = 0 OR ($5::boolean AND s.payouts = 0)) AS is_paid, coalesce(t.net = s.payments, true) AS is_settled
    FROM sums s LEFT JOIN settled t ON t.batch = s.batch AND coalesce(t.currency, s.currency) = s.currency
), made_whole AS MATERIALIZED (
  SELECT o.batch, o.currency, b.id FROM batches o
   CROSS JOIN LATERAL (SELECT id, fingerprint FROM breaks
                        WHERE merchant_id = $1 AND reference = o.batch AND kind = 'payout_mismatch' AND resolution IS NULL OFFSET 0) b
   WHERE o.is_paid AND o.is_settled AND (b.fingerprint = o.fingerprint OR starts_with(b.fingerprint, o.fingerprint || '${AFTER}'))
)`;

const FOUND = `
SELECT (SELECT count(*) FROM named)::int AS batches, (SELECT max(batch) FROM named) AS last,
       (SELECT json_agg(json_build_object(
          'fingerprint', fingerprint, 'kind', 'payout_mismatch', 'reference', batch, 'object_ref', NULL, 'item', NULL,
          'expected', json_build_object('amount', CASE WHEN is_paid THEN settled ELSE -net END::text, 'fee', NULL, 'currency', currency, 'occurred_at', NULL),
          'actual', json_build_object('amount', CASE WHEN is_paid THEN payments ELSE paid END::text, 'fee', NULL, 'currency', currency, 'occurred_at', NULL),
          'difference', CASE WHEN is_paid THEN payments - settled ELSE net + paid END::text, 'currency', currency,
          'detail', CASE WHEN is_paid THEN 'The payments of the batch are not what the processor has told as settled.'
                         ELSE 'The rows of the batch do not come to what was paid out.' END) ORDER BY batch, currency)
          FROM batches WHERE NOT (is_paid AND is_settled)) AS found,
       (SELECT count(*) FROM made_whole)::int AS ended`;

/** Whatever belongs to whole batches and to no payment is matched with them. A match is named by its first row. */
const MATCH_WHOLE = `
WITH ${LOOK}, followers AS MATERIALIZED (
  SELECT r.identity, r.reconciliation_id, r.match_line IS NULL AS is_new,
         first_value(r.reconciliation_id) OVER in_order AS match_report, first_value(r.line) OVER in_order AS match_line
    FROM (SELECT * FROM batches WHERE is_paid AND is_settled) n
   CROSS JOIN LATERAL (${OF_BATCH} OFFSET 0) r
   WHERE r.currency = n.currency AND r.type IN ${FOLLOWERS}
  WINDOW in_order AS (PARTITION BY r.batch, r.currency ORDER BY r.reconciliation_id, r.line)
), matched AS (
  UPDATE report_rows r SET match_reconciliation_id = f.match_report, match_line = f.match_line, rule = 'batch'
    FROM followers f
   WHERE r.merchant_id + 0 = $1 AND r.source = $3 AND r.identity = f.identity AND r.identity = ANY (ARRAY(SELECT identity FROM followers WHERE is_new))
), counted AS (
  UPDATE reconciliations c SET matched = c.matched + f.rows
    FROM (SELECT reconciliation_id, count(*) AS rows FROM followers WHERE is_new GROUP BY reconciliation_id) f
   WHERE c.merchant_id = $1 AND c.id = f.reconciliation_id AND c.id = ANY (ARRAY(SELECT reconciliation_id FROM followers WHERE is_new))
)${FOUND}`;

/** Breaks of batches that are whole by now: by the last row of the report that says so. */
const END_WHOLE = `
WITH ${LOOK}, last AS MATERIALIZED (
  SELECT DISTINCT ON (batch, currency) batch, currency, source, line, reconciliation_id FROM report_rows
   WHERE merchant_id = $1 AND reconciliation_id = $2::bigint AND batch = ANY (ARRAY(SELECT batch FROM named)) ORDER BY batch, currency, line DESC
), ended AS (
  UPDATE breaks b SET ${endedBy('l')}
    FROM made_whole o JOIN last l ON l.batch = o.batch AND l.currency = o.currency
   WHERE b.merchant_id = $1 AND b.id = o.id AND b.id = ANY (ARRAY(SELECT id FROM made_whole)) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)
SELECT NULL::json AS opened, (SELECT json_agg(break ORDER BY id) FROM ended) AS ended`;

interface Looked {
  readonly batches: number;
  readonly last: string | null;
  readonly found: string | null;
  readonly ended: number;
}

/** Batches that the report tells of: each is whole and its rows are matched, or it is a break. */
export async function matchBatches(matching: Matching, report: MatchedReport, deadline: () => Deadline): Promise<void> {
  const { merchantId, id, source, provider } = report;
  const { database } = matching;
  for (let last = ''; ; ) {
    const values = [merchantId, id, source, provider ?? null, WITHOUT_PAYOUT_ROWS.has(source), last, BATCHES_AT_ONCE];
    const looked = await database.transaction({ merchantIds: [merchantId] }, deadline(), (client) =>
      inTurn<Looked>(client, merchantId, { text: MATCH_WHOLE, values }),
    );
    if (looked.ended > 0) await behindLock(database, report, { text: END_WHOLE, values }, deadline());
    await openFound(matching, report, JSON.parse(looked.found ?? '[]') as FoundBreak[], deadline);
    if (looked.batches < BATCHES_AT_ONCE || looked.last === null) return;
    last = looked.last;
  }
}
