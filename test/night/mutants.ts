// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import type { FaultMutant } from '../../scripts/mutants/faults.mjs';

const CALENDAR = 'dist/libs/settlement/src/calendar.js';
const DRAFT = 'dist/libs/settlement/src/draft-sql.js';

/** Planted bugs of settlements: `npm run test:faults -- night --mutant all`. */
export const MUTANTS: readonly FaultMutant[] = [
  {
    name: 'calendar-day-instead-of-business-day',
    changes: [
      {
        file: CALENDAR,
        search: 'oneAfterAnother(known), cutoff };',
        replace: "oneAfterAnother(known), cutoff: '00:00' };",
      },
    ],
  },
  {
    // What is not rounded here is rounded by the columns: lines each, the settlement's fees once.
    name: 'fee-rounded-per-settlement',
    changes: [
      {
        file: DRAFT,
        search: 'return `(sign(${numerator}) * (div(${n}, ${d}) + CASE WHEN ${isUp} THEN 1 ELSE 0 END))`;',
        replace: 'void isUp; return `(sign(${numerator}) * (${n} / ${d}))`;',
      },
    ],
  },
  {
    name: 'late-entry-in-a-closed-day',
    changes: [{ file: DRAFT, search: 'e.effective_at >= a.starts_at AS is_of_day', replace: 'true AS is_of_day' }],
  },
  {
    name: 'half-up-instead-of-half-even',
    changes: [
      {
        file: DRAFT,
        search: '(2 * mod(${n}, ${d}) = ${d} AND mod(div(${n}, ${d}), 2) = 1)',
        replace: '(2 * mod(${n}, ${d}) = ${d})',
      },
    ],
  },
  {
    name: 'tier-by-what-the-item-reaches',
    changes: [
      { file: DRAFT, search: 'ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)\n), priced', replace: ')\n), priced' },
    ],
  },
  {
    name: 'given-back-by-each-refund-alone',
    changes: [
      {
        file: DRAFT,
        search: "${share('taken - amount')} - ${share('taken')}",
        replace: "${share('- amount')}",
      },
    ],
  },
];
