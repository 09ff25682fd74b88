import { DECIDE_BANK } from './bank.js';
import { END_BREAKS, OPEN_BREAKS } from './breaks.js';
import { NEXT_ROWS, ROWS_OF_BREAKS, ROWS_OF_LINES, TOLD_ROWS } from './chunk.js';
import { DECIDE_PAYMENTS } from './decide-payments.js';
import { CANDIDATES, PAYMENT_BREAKS } from './payment-breaks.js';
import { FIND_ITEMS, FIND_PAYMENTS } from './payments.js';
import { END_ROWS, LOOK_AT_ROWS, TURNED_UP } from './turned-up.js';
import { OUTCOMES, TOLD, WRITE_ROWS } from './write.js';

/** What a report is held against, by its source. */
const PROCESSOR = [FIND_PAYMENTS, FIND_ITEMS, DECIDE_PAYMENTS, PAYMENT_BREAKS, CANDIDATES];
const BANK = [DECIDE_BANK];

/** Sources that are banks' statements; the others are processors' reports. */
const BANKS: ReadonlySet<string> = new Set(['camt053']);

/**
 * $1 merchant, $2 source, $3 provider, $4 $5 $6 tolerances of fees, days and amounts, $7 report, $8 rows at most or lines, $9 ids of breaks.
 * One statement: what becomes of a row is decided by one snapshot, and commits with the row.
 */
function matching(name: string, rows: string, decide: readonly string[]): Statement {
  const steps = [PARAMETERS, rows, TOLD_ROWS, ...decide, OUTCOMES, WRITE_ROWS, OPEN_BREAKS, END_BREAKS];
  return { name, text: `WITH ${steps.join(',')}${TOLD}` };
}

/** Not every statement has a use for each, and PostgreSQL wants to know what they are. */
const PARAMETERS = `parameters AS (SELECT $1::bigint, $2::text, $3::text, $4::bigint, $5::int, $6::bigint, $7::bigint, $9::bigint[])`;

export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Rows of open breaks that nothing stood against: $8 breaks. `look` tells which are matched by now, `end` matches them. */
function turnedUp(name: string, decide: readonly string[]): { readonly look: Statement; readonly end: Statement } {
  const decided = [PARAMETERS, ROWS_OF_BREAKS, ...decide, TURNED_UP];
  return {
    look: { name: `look-again${name}`, text: `WITH ${decided.join(',')}${LOOK_AT_ROWS}` },
    end: { name: `turned-up${name}`, text: `WITH ${[...decided, OPEN_BREAKS, END_BREAKS, END_ROWS].join(',')}` },
  };
}

const OF_PROCESSOR = {
  next: matching('match-next', NEXT_ROWS, PROCESSOR),
  lines: matching('match-lines', ROWS_OF_LINES, PROCESSOR),
  ...turnedUp('', PROCESSOR),
};
const OF_BANK = {
  next: matching('match-next-of-bank', NEXT_ROWS, BANK),
  lines: matching('match-lines-of-bank', ROWS_OF_LINES, BANK),
  ...turnedUp('-of-bank', BANK),
};

/** `next`: the next rows of a report; `lines`: those of the lines that are told; `look` and `end`: those that were missing in the ledger. */
export function statementsOf(source: string): Readonly<Record<'next' | 'lines' | 'look' | 'end', Statement>> {
  return isBank(source) ? OF_BANK : OF_PROCESSOR;
}

export function isBank(source: string): boolean {
  return BANKS.has(source);
}
