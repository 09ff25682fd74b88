import { DECIDE_BANK } from './bank.js';
import { END_BREAKS, OPEN_BREAKS } from './breaks.js';
import { NEXT_ROWS, ROWS_OF_BREAKS, ROWS_OF_LINES, TOLD_ROWS } from './chunk.js';
import { DECIDE_PAYMENTS } from './decide-payments.js';
import { NONE_ORDINARY, ORDINARY_ROWS } from './ordinary.js';
import { CANDIDATES, PAYMENT_BREAKS } from './payment-breaks.js';
import { FIND_ITEMS, FIND_PAYMENTS } from './payments.js';
import { END_ROWS, LOOK_AT_ROWS, TURNED_UP } from './turned-up.js';
import { OUTCOMES, TOLD, WRITE_ROWS } from './write.js';

/** What a report is held against, by its source. */
const PROCESSOR = [FIND_PAYMENTS, FIND_ITEMS, DECIDE_PAYMENTS, PAYMENT_BREAKS, CANDIDATES];
const BANK = [DECIDE_BANK];

/** Sources that are banks' statements; the others are processors' reports. */
const BANKS: ReadonlySet<string> = new Set(['camt053']);

/** Not every statement has a use for each, and PostgreSQL wants to know what they are. */
const PARAMETERS = `parameters AS (SELECT $1::bigint, $2::text, $3::text, $4::bigint, $5::int, $6::bigint, $7::bigint, $9::bigint[])`;

/**
 * $1 merchant, $2 source, $3 provider, $4 $5 $6 tolerances of fees, days and amounts, $7 report, $8 rows at most or lines, $9 ids of breaks.
 * One statement: what becomes of a row is decided by one snapshot, and commits with the row. Not prepared: planned for tables as they are,
 * for a microsecond a row.
 */
function matching(rows: readonly string[], decide: readonly string[]): string {
  const steps = [PARAMETERS, ...rows, TOLD_ROWS, ...decide, OUTCOMES, WRITE_ROWS, OPEN_BREAKS, END_BREAKS];
  return `WITH ${steps.join(',')}${TOLD}`;
}

/** Rows of open breaks that nothing stood against: $8 breaks. `look` tells which are matched by now, `end` matches them. */
function turnedUp(decide: readonly string[]): { readonly look: string; readonly end: string } {
  const decided = [PARAMETERS, ROWS_OF_BREAKS, ...decide, TURNED_UP];
  return {
    look: `WITH ${decided.join(',')}${LOOK_AT_ROWS}`,
    end: `WITH ${[...decided, OPEN_BREAKS, END_BREAKS, END_ROWS].join(',')}`,
  };
}

function statements(ordinary: string, decide: readonly string[]) {
  const next = matching([NEXT_ROWS, ordinary], decide);
  const lines = matching([ROWS_OF_LINES, NONE_ORDINARY], decide);
  return { next, lines, ...turnedUp(decide) };
}

const OF_PROCESSOR = statements(ORDINARY_ROWS, PROCESSOR);
const OF_BANK = statements(NONE_ORDINARY, BANK);

/** SQL. `next`: the next rows of a report; `lines`: those of the lines that are told; `look` and `end`: those that were missing in the ledger. */
export function statementsOf(source: string): Readonly<Record<'next' | 'lines' | 'look' | 'end', string>> {
  return isBank(source) ? OF_BANK : OF_PROCESSOR;
}

export function isBank(source: string): boolean {
  return BANKS.has(source);
}
