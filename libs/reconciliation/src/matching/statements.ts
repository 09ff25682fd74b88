import { END_BREAKS, OPEN_BREAKS } from './breaks.js';
import { DECIDE_BANK } from './bank.js';
import { NEXT_ROWS, ROWS_OF_LINES, TOLD_ROWS } from './chunk.js';
import { DECIDE_PAYMENTS } from './decide-payments.js';
import { CANDIDATES, PAYMENT_BREAKS } from './payment-breaks.js';
import { FIND_ITEMS, FIND_PAYMENTS } from './payments.js';
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
  const steps = [rows, TOLD_ROWS, ...decide, OUTCOMES, WRITE_ROWS, OPEN_BREAKS, END_BREAKS];
  return { name, text: `WITH ${steps.join(',')}${TOLD}` };
}

export interface Statement {
  readonly name: string;
  readonly text: string;
}

const OF_PROCESSOR = {
  next: matching('match-next', NEXT_ROWS, PROCESSOR),
  lines: matching('match-lines', ROWS_OF_LINES, PROCESSOR),
};
const OF_BANK = {
  next: matching('match-next-of-bank', NEXT_ROWS, BANK),
  lines: matching('match-lines-of-bank', ROWS_OF_LINES, BANK),
};

/** `next`: the next rows of a report; `lines`: those of the lines that are told. */
export function statementsOf(source: string): { readonly next: Statement; readonly lines: Statement } {
  return isBank(source) ? OF_BANK : OF_PROCESSOR;
}

export function isBank(source: string): boolean {
  return BANKS.has(source);
}
