/** SQL of the JSON of breaks. Amounts are text, as in all JSON that is stored: JSON.parse would round those above 2^53. */

/**
 * Of breaks that are looked up by a key. Said by their resolution, a planner without statistics would take the index of all open breaks for nearly empty,
 * and go through all of a merchant's.
 */
export const IS_OPEN = `status NOT IN ('resolved', 'auto_resolved', 'written_off')`;

/** SQL of open breaks of rows: what they are named by, as the index `breaks_of_rows` has it. By coalesce() nothing is found under row-level security. */
export const NAME_OF_BREAK = `CASE WHEN reference IS NULL THEN CASE WHEN object_ref IS NULL THEN '' ELSE object_ref END ELSE reference END`;
export const IS_OF_ROW = `row_identity IS NOT NULL AND resolution IS NULL`;

/** Candidates that a break names at most. */
export const CANDIDATES_MAX = 20;
/** Of PostgreSQL's bigint. */
const MAX_BIGINT = 2n ** 63n - 1n;

/** A difference of sums, or null where it is beyond what a bigint holds: both sides are told beside it, and the report goes on. */
export function smallEnough(difference: string): string {
  return `CASE WHEN abs(${difference}) <= ${MAX_BIGINT} THEN ${difference} END`;
}

export function timeJson(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}

/** What the ledger has. */
export function expectedJson(side: { amount: string; fee: string; currency: string; at: string }): string {
  return `json_build_object('amount', (${side.amount})::text, 'fee', (${side.fee})::text, 'currency', ${side.currency}, 'occurred_at', ${timeJson(side.at)})`;
}

/** What was told by the row `r`. */
export const ACTUAL = `json_build_object('amount', r.gross::text, 'fee', r.fee::text, 'currency', r.currency,
  'occurred_at', ${timeJson('r.occurred_at')}, 'line', r.line)`;

export function candidateJson(side: { item: string; amount: string; currency: string; at: string }): string {
  return `json_build_object('item', ${side.item}, 'amount', (${side.amount})::text, 'currency', ${side.currency}, 'occurred_at', ${timeJson(side.at)},
    'proposed', false)`;
}
