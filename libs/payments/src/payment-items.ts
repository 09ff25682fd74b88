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
const DISPUTE = `place, part ->> 'object_ref' AS object_ref, (part ->> 'amount')::bigint AS amount, part ->> 'outcome' = 'won' AS is_won,
  (part ->> 'funds_withdrawn')::bigint AS withdrawn, (part ->> 'funds_reinstated')::bigint AS reinstated,
  (part ->> 'funds_withdrawn')::bigint + (part ->> 'funds_reinstated')::bigint > 0 AS tells, part ->> 'stage' <> 'inquiry' AS takes`;

function partsOf(parts: string, list: string): string {
  return `json_array_elements(${parts} -> '${list}') WITH ORDINALITY AS e (part, place)`;
}

/**
 * A query of the items of payments: `wanted` has rows `{id, kind}`, kinds being those of a report's rows, and `payments` has `{id, parts}`. It tells
 * `payment_id`, `kind`, `place`, `object_ref`, `amount` as the merchant sees it (what is taken is below zero) and `state`. Each kind by itself: so
 * of each payment no more is read than is wanted.
 */
export function paymentItems(wanted: string, payments: string): string {
  const of = (kind: string, list: string): string => `
    FROM ${wanted} w JOIN ${payments} p ON p.id = w.id CROSS JOIN LATERAL ${partsOf('p.parts', list)} WHERE w.kind = '${kind}'`;
  const dispute = (kind: string): string => `(SELECT p.id, ${DISPUTE} ${of(kind, 'disputes')}) d`;
  return `
  SELECT p.id AS payment_id, w.kind, place, part ->> 'object_ref' AS object_ref, (part ->> 'amount')::bigint AS amount, ${MOVEMENT_STATE} AS state
    ${of('payment', 'captures')}
  UNION ALL
  SELECT p.id, w.kind, place, part ->> 'object_ref', -(part ->> 'amount')::bigint, ${MOVEMENT_STATE} ${of('refund', 'refunds')}
  UNION ALL
  SELECT id, 'dispute', place, object_ref, -CASE WHEN tells THEN withdrawn ELSE amount END, CASE WHEN is_won AND NOT tells THEN 'possible' ELSE 'due' END
    FROM ${dispute('dispute')} WHERE CASE WHEN tells THEN withdrawn > 0 ELSE takes END
  UNION ALL
  SELECT id, 'dispute_reversed', place, object_ref, CASE WHEN tells THEN reinstated ELSE amount END, CASE WHEN tells THEN 'due' ELSE 'possible' END
    FROM ${dispute('dispute_reversed')} WHERE CASE WHEN tells THEN reinstated > 0 ELSE is_won AND takes END`;
}

/** Whether just one capture or refund of the payment is of that object, and it moves that amount as the merchant sees it. */
export function hasMovement(parts: string, of: { kind: string; objectRef: string; amount: string }): string {
  const { kind, objectRef, amount } = of;
  const list = `CASE ${kind} WHEN 'payment' THEN 'captures' ELSE 'refunds' END`;
  const moved = `CASE ${kind} WHEN 'payment' THEN ${amount} ELSE -${amount} END`;
  return `(SELECT count(*) = 1 AND bool_and((part ->> 'amount')::bigint = ${moved} AND ${MOVEMENT_STATE} = 'due')
             FROM json_array_elements(${parts} -> ${list}) AS e (part) WHERE part ->> 'object_ref' = ${objectRef})`;
}

/** Whether all that the payment consists of are captures and refunds with an object for which `holds`; null: of nothing at all. */
export function onlyMovements(parts: string, holds: (kind: string, objectRef: string) => string): string {
  const kind = `CASE list WHEN 'captures' THEN 'payment' ELSE 'refund' END`;
  return `(SELECT bool_and(list <> 'disputes' AND part ->> 'object_ref' IS NOT NULL AND ${holds(kind, `(part ->> 'object_ref')`)})
             FROM json_each(${parts}) AS l (list, parts) CROSS JOIN LATERAL json_array_elements(l.parts) AS e (part)
            WHERE list IN ('captures', 'refunds', 'disputes'))`;
}

/** What the processor kept of what it has settled. A fee of nothing is taken for one that nobody has told: null. */
export function settledFee(parts: string): string {
  return `(SELECT nullif(sum((part ->> 'fee')::bigint), 0) FROM ${partsOf(parts, 'settlements')})`;
}

/** Facts by which money moves, by the kind of item: an item is of the time of the first of them, the provider's rather than a request. */
export const KIND_OF_FACT = `CASE type WHEN 'captured' THEN 'payment' WHEN 'refunded' THEN 'refund'
  WHEN 'dispute_funds_reinstated' THEN 'dispute_reversed' WHEN 'dispute_won' THEN 'dispute_reversed'
  WHEN 'dispute_opened' THEN 'dispute' WHEN 'dispute_funds_withdrawn' THEN 'dispute' WHEN 'dispute_lost' THEN 'dispute' END`;

/** SQL: types of facts by which money moves, as the index payment_facts_moved has them. */
export const MOVING_FACTS = `('captured', 'refunded', 'dispute_opened', 'dispute_funds_withdrawn', 'dispute_funds_reinstated', 'dispute_won',
  'dispute_lost')`;
