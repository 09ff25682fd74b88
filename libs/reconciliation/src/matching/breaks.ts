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
  currency, detail, candidates`;

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

const DIFFERENCE = `CASE WHEN r.kind IN ('amount_mismatch', 'payout_mismatch') THEN r.gross - r.amount WHEN r.kind IN ('missing_in_ledger', 'duplicate', 'status_mismatch') THEN r.gross END`;

/** What a bank's credit is known by is its remittance. */
const REFERENCE = `CASE WHEN ${IS_OF_PAYMENT} THEN r.reference ELSE coalesce(r.reference, r.batch) END`;

const EXPECTED = expectedJson({
  amount: 'r.amount',
  fee: 'NULL',
  currency: 'coalesce(r.payment_currency, r.currency)',
  at: 'r.at',
});

/** Of rows that are in no match. */
const OF_ROWS = `
SELECT r.reconciliation_id, r.kind || '/' || $2 || '/' || r.identity || CASE WHEN r.told = 'twice' THEN '/' || r.line ELSE '' END AS fingerprint,
       r.kind, ${REFERENCE} AS reference, r.object_ref, r.item, CASE WHEN r.told <> 'twice' THEN $2 END AS row_source,
       CASE WHEN r.told <> 'twice' THEN r.identity END AS row_identity, CASE WHEN r.item IS NOT NULL THEN ${EXPECTED} END AS expected,
       ${ACTUAL} AS actual, ${DIFFERENCE} AS difference, r.currency, ${DETAIL} AS detail, c.list AS candidates
  FROM taken r LEFT JOIN candidates c ON c.reconciliation_id = r.reconciliation_id AND c.line = r.line
 WHERE r.kind IS NOT NULL`;

/** Of matches: they hold neither row nor item. */
const OF_DATES = `
SELECT r.reconciliation_id, 'date_mismatch/' || $2 || '/' || r.identity, 'date_mismatch', r.reference, r.object_ref, NULL, NULL, NULL::uuid, ${EXPECTED},
       ${ACTUAL}, NULL::numeric, r.currency, 'Matched, and told of a time more than ' || $5::int || ' days away.', NULL::json
  FROM taken r WHERE r.is_late`;

const OF_FEES = `
SELECT f.reconciliation_id, 'fee_mismatch/payment/' || f.unit, 'fee_mismatch', f.provider_ref, NULL, NULL, NULL, NULL::uuid, ${FEE_EXPECTED},
       json_build_object('amount', f.gross::text, 'fee', f.fee::text, 'currency', f.currency, 'occurred_at', ${timeJson('f.occurred_at')}, 'line', f.line),
       f.fee - f.expected, f.currency, 'The processor has told another fee than it reports.', NULL::json
  FROM fee_breaks f`;

/** A fingerprint that is there is that break: found twice it is one, and only one is told of. */
export const OPEN_BREAKS = `
found_breaks AS MATERIALIZED (
  SELECT b.*, row_number() OVER (ORDER BY fingerprint) AS n
    FROM (${OF_ROWS} UNION ALL ${OF_DATES} UNION ALL ${OF_FEES}) b WHERE $9::bigint[] IS NOT NULL
), opened AS (
  INSERT INTO breaks AS b (merchant_id, id, created_at, status, ${columns('difference')})
  SELECT $1, ($9::bigint[])[n], snowflake_time(($9::bigint[])[n]), 'open', ${columns(smallEnough('difference'))} FROM found_breaks
  ON CONFLICT (merchant_id, fingerprint) DO NOTHING
  RETURNING b.id, ${OPENED_JSON} AS break
)`;

/** `row`: a row of report_rows. A proposal is dropped, and the resolution says so. */
export function endedBy(row: string): string {
  return `status = 'auto_resolved', proposal = NULL, resolution = json_build_object(
    'by', NULL, 'approved_by', NULL, 'transaction_id', NULL, 'reason', 'The other side has turned up.', 'at', ${timeJson('now()')},
    'row', json_build_object('source', ${row}.source, 'line', ${row}.line, 'reconciliation_id', ${row}.reconciliation_id::text),
    'dropped_proposal', b.proposal)`;
}

/** Breaks of items that nobody had told, and that a row tells now. */
export const END_BREAKS = `
ended AS (
  UPDATE breaks b SET ${endedBy('r')}
    FROM (SELECT m.missing, $2 AS source, m.match_line AS line, m.match_report AS reconciliation_id FROM taken_matches m WHERE m.missing IS NOT NULL) r
   WHERE b.merchant_id = $1 AND b.id = r.missing AND b.id = ANY (ARRAY(SELECT missing FROM taken_matches)) AND b.resolution IS NULL
  RETURNING b.id, ${ENDED_JSON} AS break
)`;
