import { DECIDE_BANK } from './bank.js';
import { END_BREAKS, OPEN_BREAKS } from './breaks.js';
import { BREAKS_TOLD, LINES_TOLD, NEXT_BANKED, NEXT_TOLD } from './chunk.js';
import { DECIDE_PAYMENTS } from './decide-payments.js';
import { CANDIDATES, PAYMENT_BREAKS } from './payment-breaks.js';
import { FIND_ITEMS, FIND_PAYMENTS } from './payments.js';
import { ENDED, LOOK, OUTCOMES, TOLD, WRITE_ROWS } from './write.js';

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
function matching(told: string, decide: readonly string[], tell: string): string {
  const steps = [PARAMETERS, told, ...decide, OUTCOMES, WRITE_ROWS, OPEN_BREAKS, END_BREAKS];
  return `WITH ${steps.join(',')}${tell}`;
}

function statements(next: string, decide: readonly string[]) {
  return {
    next: matching(next, decide, TOLD),
    lines: matching(LINES_TOLD, decide, TOLD),
    look: `WITH ${[PARAMETERS, BREAKS_TOLD, ...decide, OUTCOMES].join(',')}${LOOK}`,
    end: matching(BREAKS_TOLD, decide, ENDED),
  };
}

const OF_PROCESSOR = statements(NEXT_TOLD, PROCESSOR);
const OF_BANK = statements(NEXT_BANKED, BANK);

/**
 * SQL. `next`: the next rows of a report; `lines`: those of the lines that are told. Rows of open breaks ($8): `look` tells of which breaks
 * something else is true by now, `end` ends these.
 */
export function statementsOf(source: string): Readonly<Record<'next' | 'lines' | 'look' | 'end', string>> {
  return isBank(source) ? OF_BANK : OF_PROCESSOR;
}

export function isBank(source: string): boolean {
  return BANKS.has(source);
}
