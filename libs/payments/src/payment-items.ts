/**
 * SQL of what payments consist of that a processor's report should tell: captures, refunds, disputes, and disputes whose money came back.
 * Of the parts that payments show: what has been told is not yet what has its place (`position.ts`).
 */

/**
 * The states of items. `due`: money that moves. `undone`: it failed, or was reversed. `possible`: a dispute that was won and of whose money
 * nothing is told: perhaps it went and came back, perhaps it never moved.
 */
const MOVEMENT_STATE = `CASE WHEN part ->> 'status' IN ('failed', 'reversed') THEN 'undone' ELSE 'due' END`;

/** What is told of a dispute's money is what it moves; where nothing is told, a chargeback takes its amount, and one that is won gives it back. */
const DISPUTES = `
SELECT place, part ->> 'object_ref' AS object_ref, (part ->> 'amount')::bigint AS amount, part ->> 'outcome' = 'won' AS is_won,
       (part ->> 'funds_withdrawn')::bigint AS withdrawn, (part ->> 'funds_reinstated')::bigint AS reinstated,
       (part ->> 'funds_withdrawn')::bigint + (part ->> 'funds_reinstated')::bigint > 0 AS tells, part ->> 'stage' <> 'inquiry' AS takes`;

function partsOf(parts: string, list: string): string {
  return `json_array_elements(${parts} -> '${list}') WITH ORDINALITY AS e (part, place)`;
}

/**
 * A subquery of a payment's items of a kind: `place`, `object_ref`, `amount` as the merchant sees it (what is taken is below zero) and
 * `state`. `parts` and `kind` are expressions; kinds are those of a report's rows.
 */
export function paymentItems(parts: string, kind: string): string {
  return `(
  SELECT place, part ->> 'object_ref' AS object_ref, (part ->> 'amount')::bigint AS amount, ${MOVEMENT_STATE} AS state
    FROM ${partsOf(parts, 'captures')} WHERE ${kind} = 'payment'
  UNION ALL
  SELECT place, part ->> 'object_ref', -(part ->> 'amount')::bigint, ${MOVEMENT_STATE}
    FROM ${partsOf(parts, 'refunds')} WHERE ${kind} = 'refund'
  UNION ALL
  SELECT place, object_ref, -CASE WHEN tells THEN withdrawn ELSE amount END, CASE WHEN is_won AND NOT tells THEN 'possible' ELSE 'due' END
    FROM (${DISPUTES} FROM ${partsOf(parts, 'disputes')} WHERE ${kind} = 'dispute') d WHERE CASE WHEN tells THEN withdrawn > 0 ELSE takes END
  UNION ALL
  SELECT place, object_ref, CASE WHEN tells THEN reinstated ELSE amount END, CASE WHEN tells THEN 'due' ELSE 'possible' END
    FROM (${DISPUTES} FROM ${partsOf(parts, 'disputes')} WHERE ${kind} = 'dispute_reversed') d
   WHERE CASE WHEN tells THEN reinstated > 0 ELSE is_won AND takes END)`;
}

/** A subquery of what the processor has settled of a payment, and kept of that. A fee of nothing is taken for one that nobody has told. */
export function settledOf(parts: string): string {
  return `(
  SELECT sum((part ->> 'amount')::bigint) AS amount, nullif(sum((part ->> 'fee')::bigint), 0) AS fee FROM ${partsOf(parts, 'settlements')})`;
}

/** Facts by which money moves, by the kind of item: an item is of the time of the first of them, the provider's rather than a request. */
export const KIND_OF_FACT = `CASE type WHEN 'captured' THEN 'payment' WHEN 'refunded' THEN 'refund'
  WHEN 'dispute_funds_reinstated' THEN 'dispute_reversed' WHEN 'dispute_won' THEN 'dispute_reversed'
  WHEN 'dispute_opened' THEN 'dispute' WHEN 'dispute_funds_withdrawn' THEN 'dispute' WHEN 'dispute_lost' THEN 'dispute' END`;

/** SQL: types of facts by which money moves, as the index payment_facts_moved has them. */
export const MOVING_FACTS = `('captured', 'refunded', 'dispute_opened', 'dispute_funds_withdrawn', 'dispute_funds_reinstated', 'dispute_won',
  'dispute_lost')`;
