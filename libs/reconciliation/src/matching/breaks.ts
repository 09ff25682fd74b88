import { FEE_EXPECTED } from './payment-breaks.js';
import { PAYMENT_ROWS } from './payments.js';
import { ACTUAL, expectedJson, smallEnough, timeJson } from './sides.js';

/** What the events tell of the row `b` of breaks. */
const FOUND = `'break_id', b.id::text, 'reconciliation_id', b.reconciliation_id::text, 'kind', b.kind, 'reference', b.reference,
  'object_ref', b.object_ref, 'difference', b.difference::text, 'currency', b.currency`;
export const OPENED_JSON = `json_build_object(${FOUND})`;
export const ENDED_JSON = `json_build_object(${FOUND}, 'status', b.status, 'by', NULL, 'approved_by', NULL, 'transaction_id', NULL,
  'reason', b.resolution ->> 'reason')`;

const columns = (
  difference: string,
) => `reconciliation_id, fingerprint, kind, reference, object_ref, item, row_source, row_identity, expected, actual, ${difference},
  currency, detail, candidates, assignee`;

/** Of a bank's statement no row is. */
const IS_OF_PAYMENT = `r.type IN ${PAYMENT_ROWS}`;

const DETAIL = `CASE
  WHEN r.told = 'twice' THEN 'The report has this row more than once.'
  WHEN r.kind = 'missing_in_ledger' AND NOT ${IS_OF_PAYMENT} THEN 'No payout and no batch is known by this name.'
  WHEN r.kind = 'missing_in_ledger' AND r.unit IS NULL THEN 'Nothing in the ledger has this reference.'
  WHEN r.kind = 'missing_in_ledger' THEN 'The payment is known, and has nothing of this kind and amount that no other row tells.'
  WHEN r.kind = 'duplicate' THEN 'Another row has told this already.'
  WHEN r.kind = 'ambiguous' AND NOT ${IS_OF_PAYMENT} THEN 'Several batches are known by this name.'
  WHEN r.kind = 'ambiguous' AND r.unit IS NULL THEN 'Several payments have this reference.'
  WHEN r.kind = 'ambiguous' THEN 'The payment has more of this amount than the report tells, and nothing says which it is.'
  WHEN r.kind = 'status_mismatch' AND NOT ${IS_OF_PAYMENT} THEN CASE WHEN r.gross < 0 THEN 'The payout failed here.' ELSE 'The payout has not come back here.' END
  WHEN r.kind = 'status_mismatch' THEN 'It failed or was reversed here.'
  WHEN r.kind = 'currency_mismatch' THEN 'Told in another currency than the ledger has.'
  WHEN r.kind IN ('amount_mismatch', 'payout_mismatch') THEN 'Told with another amount than the ledger has.'
END`;

/** Of the row `r` that has a break of `kind`. */
export function differenceOf(kind: string): string {
  return `CASE WHEN ${kind} IN ('amount_mismatch', 'payout_mismatch') THEN r.gross - r.amount WHEN ${kind} IN ('missing_in_ledger', 'duplicate', 'status_mismatch') THEN r.gross END`;
}

/** What a bank's credit is known by is its remittance. */
const REFERENCE = `CASE WHEN ${IS_OF_PAYMENT} THEN r.reference ELSE coalesce(r.reference, r.batch) END`;

const EXPECTED = expectedJson({
  amount: 'r.amount',
  fee: 'NULL',
  currency: 'coalesce(r.payment_currency, r.currency)',
  at: 'r.at',
});

/** A row that had another break before it: its fingerprint is of this one, so that a break of that kind may have ended already. */
const FINGERPRINT = `r.kind || '/' || $2 || '/' || r.identity || CASE r.told WHEN 'twice' THEN '/' || r.line WHEN 'again' THEN '/after ' || r.break_id ELSE '' END`;

/** Of rows that are in no match. Whoever had taken the break that it follows has it. */
const OF_ROWS = `
SELECT r.reconciliation_id, ${FINGERPRINT} AS fingerprint,
       r.kind, ${REFERENCE} AS reference, r.object_ref, r.item, CASE WHEN r.told <> 'twice' THEN $2 END AS row_source,
       CASE WHEN r.told <> 'twice' THEN r.identity END AS row_identity, CASE WHEN r.item IS NOT NULL THEN ${EXPECTED} END AS expected,
       ${ACTUAL} AS actual, ${differenceOf('r.kind')} AS difference, r.currency, ${DETAIL} AS detail, c.list AS candidates, r.assignee
  FROM taken r LEFT JOIN candidates c ON c.reconciliation_id = r.reconciliation_id AND c.line = r.line
 WHERE r.kind IS NOT NULL`;

/** Of matches: they hold neither row nor item. */
const OF_DATES = `
SELECT r.reconciliation_id, 'date_mismatch/' || $2 || '/' || r.identity, 'date_mismatch', ${REFERENCE}, r.object_ref, NULL, NULL, NULL::uuid, ${EXPECTED},
       ${ACTUAL}, NULL::numeric, r.currency, 'Matched, and told of a time more than ' || $5::int || ' days away.', NULL::json, NULL
  FROM taken r WHERE r.is_late`;

const OF_FEES = `
SELECT f.reconciliation_id, 'fee_mismatch/payment/' || f.unit, 'fee_mismatch', f.provider_ref, NULL, NULL, NULL, NULL::uuid, ${FEE_EXPECTED},
       json_build_object('amount', f.gross::text, 'fee', f.fee::text, 'currency', f.currency, 'occurred_at', ${timeJson('f.occurred_at')}, 'line', f.line),
       f.fee - f.expected, f.currency, 'The processor has told another fee than it reports.', NULL::json, NULL
  FROM fee_breaks f`;

/** A fingerprint that is there is that break: found twice it is one, and only one is told of. */
export const OPEN_BREAKS = `
found_breaks AS MATERIALIZED (
  SELECT b.*, row_number() OVER (ORDER BY fingerprint) AS n
    FROM (${OF_ROWS} UNION ALL ${OF_DATES} UNION ALL ${OF_FEES}) b WHERE $9::bigint[] IS NOT NULL
), opened AS (
  INSERT INTO breaks AS b (merchant_id, id, created_at, status, ${columns('difference')})
  SELECT $1, ($9::bigint[])[n], snowflake_time(($9::bigint[])[n]), CASE WHEN assignee IS NULL THEN 'open' ELSE 'assigned' END, ${columns(smallEnough('difference'))} FROM found_breaks
  ON CONFLICT (merchant_id, fingerprint) DO NOTHING
  RETURNING b.id, b.row_identity, ${OPENED_JSON} AS break
)`;

/** Of the row `b`: it ends by itself. SQL: why, and pairs of JSON of what more there is to tell. A proposal is dropped, and the resolution says so. */
export function endedAs(reason: string, more: string): string {
  return `status = 'auto_resolved', proposal = NULL, resolution = json_build_object(
    'by', NULL, 'approved_by', NULL, 'transaction_id', NULL, 'reason', ${reason}, 'at', ${timeJson('now()')}, ${more}, 'dropped_proposal', b.proposal)`;
}

/** `row`: {source, line, reconciliation_id}, by which it ends. */
export function endedBy(row: string): string {
  return endedAs("'The other side has turned up.'", `'row', ${rowJson(`${row}.source`, row)}`);
}

function rowJson(source: string, row: string): string {
  return `json_build_object('source', ${source}, 'line', ${row}.line, 'reconciliation_id', ${row}.reconciliation_id::text)`;
}

/** Breaks of items that nobody had told, and that a row tells now, or that a break of a row has or names. */
const END_MISSING = `
named_items AS MATERIALIZED (
  SELECT item, reconciliation_id, line FROM (
    SELECT item, reconciliation_id, (actual ->> 'line')::bigint AS line FROM found_breaks WHERE item IS NOT NULL
    UNION ALL
    SELECT c.candidate ->> 'item', reconciliation_id, (actual ->> 'line')::bigint FROM found_breaks CROSS JOIN LATERAL json_array_elements(candidates) c (candidate)) n
   WHERE item IS NOT NULL
), told_items AS MATERIALIZED (
  SELECT DISTINCT ON (missing) missing, $2 AS source, reconciliation_id, line FROM (
    SELECT missing, match_report AS reconciliation_id, match_line AS line FROM taken_matches WHERE missing IS NOT NULL
    UNION ALL
    SELECT b.id, n.reconciliation_id, n.line FROM named_items n
     CROSS JOIN LATERAL (SELECT id FROM breaks WHERE merchant_id = $1 AND item = n.item AND kind = 'missing_in_report' AND resolution IS NULL OFFSET 0) b) m
   ORDER BY missing, reconciliation_id, line
), ended_items AS (
  UPDATE breaks b SET ${endedBy('r')}
    FROM told_items r
   WHERE b.merchant_id = $1 AND b.id = r.missing AND b.id = ANY (ARRAY(SELECT missing FROM told_items)) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)`;

const WHY = `CASE WHEN NOT e.is_matched THEN 'Something else is true of its row by now.' WHEN e.line IS NULL THEN 'It has turned up in the ledger.'
  ELSE 'The other side has turned up.' END`;

/**
 * Breaks of rows that were decided again and are matched, or of which something else is true by now. `row`: the last new one of the same
 * payment; none: it is the ledger that has changed.
 */
const END_AGAIN = `
again_ended AS MATERIALIZED (
  SELECT t.break_id, t.rule IS NOT NULL AS is_matched, o.id AS followed_by, n.line, n.reconciliation_id,
         (SELECT json_agg(m.item ORDER BY m.item) FROM item_matches m WHERE m.match_report = t.match_report AND m.match_line = t.match_line) AS items
    FROM taken t
    LEFT JOIN opened o ON o.row_identity = t.identity
    LEFT JOIN (SELECT DISTINCT ON (unit) unit, reconciliation_id, line FROM taken WHERE told = 'new' ORDER BY unit, reconciliation_id DESC, line DESC) n
      ON n.unit = t.unit
   WHERE t.told = 'again' AND (t.rule IS NOT NULL OR t.kind IS NOT NULL)
), ended_rows AS (
  UPDATE breaks b SET ${endedAs(WHY, `'items', e.items, 'followed_by', e.followed_by::text, 'row', CASE WHEN e.line IS NOT NULL THEN ${rowJson('$2', 'e')} END`)}
    FROM again_ended e
   WHERE b.merchant_id = $1 AND b.id = e.break_id AND b.id = ANY (ARRAY(SELECT break_id FROM again_ended)) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)`;

export const END_BREAKS = [END_MISSING, END_AGAIN].join(',');

/** What the events tell. */
export const TOLD_BREAKS = `(SELECT json_agg(break ORDER BY id) FROM opened) AS opened,
       (SELECT json_agg(break ORDER BY id) FROM (SELECT * FROM ended_items UNION ALL SELECT * FROM ended_rows) e) AS ended`;
