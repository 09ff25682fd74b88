import { inFile } from './mutant.mjs';

const PLANTED = 'test/reconciliation-planted.test.ts';
const READING = 'libs/reconciliation/src/reading/csv-reader.spec.ts';

/**
 * Planted bugs of reconciliation: what peers are complained of for.
 *
 * @type {import('./table.mjs').Mutant[]}
 */
export const RECONCILIATION_MUTANTS = [
  ...inFile('libs/reconciliation/src/matching/rules.ts', PLANTED, [
    ['of several candidates the first of the amount is taken', "{ when: `items > rows`, break: 'ambiguous' },", ''],
  ]),
  ...inFile('libs/reconciliation/src/reading/csv-money.ts', READING, [
    [
      'the sign of an amount follows from the type of its row',
      'const told = gross ?? (net as bigint) + (fee ?? 0n);',
      "const size = gross ?? (net as bigint) + (fee ?? 0n); const told = type === 'payment' && size < 0n ? -size : size;",
    ],
  ]),
  ...inFile('libs/reconciliation/src/reading/amount.ts', READING, [
    [
      'cents go through floating point',
      "const amount = BigInt(whole + fraction.slice(0, minor).padEnd(minor, '0'));",
      'const amount = BigInt(Math.floor(Number(text) * 10 ** minor));',
    ],
  ]),
  ...inFile('libs/reconciliation/src/closing/absent.ts', 'test/matching-closing.test.ts', [
    ['what is expected counts as missing', 'FILTER (WHERE due_at <= now()) AS missing', 'AS missing'],
  ]),
  ...inFile('libs/reconciliation/src/breaks/approval.ts', 'test/break-approvals.test.ts', [
    [
      'a break is closed without its entry',
      "const posted = proposal.action === 'post' ? post(row, proposal, turn) : undefined;",
      'const posted = undefined as ReturnType<typeof post> | undefined;',
    ],
  ]),
];
