/** What becomes of rows and items: rules as data, tried in order; the first whose condition holds decides (docs/adr/0030). */

export interface Rule {
  /** SQL, of a row that names an item (`NAMED`), or that is left (`LEFT`). */
  readonly when: string;
  /** The rule that a match is by, or the kind of the break. */
  readonly match?: string;
  readonly break?: string;
}

/** What differs from merchant to merchant, and is not law. */
export interface MatchingRules {
  /** Minor units by which an amount may differ from its item's; 0: not at all. */
  readonly amountTolerance: bigint;
  readonly feeTolerance: bigint;
  readonly dateToleranceDays: number;
}

/**
 * Rows whose object_ref an item of their payment and type has. `nth`: of the rows that name it, the one of its very amount first, then
 * in their order; `is_exact`: one of them is of its amount; `rows`, `total`: how many name it, and what they come to.
 */
export const NAMED: readonly Rule[] = [
  { when: `is_taken`, break: 'duplicate' },
  { when: `state = 'undone' AND nth = 1`, break: 'status_mismatch' },
  { when: `state = 'undone'`, break: 'duplicate' },
  { when: `nth = 1 AND gross = amount`, match: 'exact' },
  { when: `is_exact`, break: 'duplicate' },
  { when: `rows > 1 AND total = amount`, match: 'sum' },
  { when: `nth = 1 AND abs(gross - amount) <= $6::bigint`, match: 'tolerance' },
  { when: `nth = 1`, break: 'amount_mismatch' },
  { when: `true`, break: 'duplicate' },
];

/**
 * Rows that name no item of their payment and type, and items that nobody names. `rows` rows and `items` items are of the same amount,
 * and the row is the `nth` of these; what is not paired is left: `rows_left` rows that come to `rows_total`, `items_left` items.
 */
export const UNNAMED: readonly Rule[] = [
  { when: `items > rows`, break: 'ambiguous' },
  { when: `nth <= items`, match: 'pairs' },
  { when: `least(rows_left, items_left) = 1 AND rows_total = items_total`, match: 'sum' },
  { when: `rows_left = 1 AND items_left = 1`, break: 'amount_mismatch' },
  { when: `is_told`, break: 'duplicate' },
  { when: `true`, break: 'missing_in_ledger' },
];

/** Rows of a bank's statement: each names a payout, its return, or a processor's batch, or nothing that is known. */
export const BANKED: readonly Rule[] = [
  { when: `items = 0`, break: 'missing_in_ledger' },
  { when: `items > 1`, break: 'ambiguous' },
  { when: `currency <> payment_currency`, break: 'currency_mismatch' },
  { when: `is_taken`, break: 'duplicate' },
  { when: `state = 'undone' AND nth = 1`, break: 'status_mismatch' },
  { when: `nth > 1`, break: 'duplicate' },
  { when: `gross = amount`, match: 'exact' },
  { when: `true`, break: 'payout_mismatch' },
];

/** SQL: the rule's match or break of the first rule whose condition holds. */
export function firstOf(rules: readonly Rule[], what: 'match' | 'break'): string {
  const cases = rules.map((rule) => `WHEN ${rule.when} THEN ${rule[what] === undefined ? 'NULL' : `'${rule[what]}'`}`);
  return `CASE ${cases.join('\n       ')} END`;
}
