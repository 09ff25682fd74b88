// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const PLANTED = 'test/reconciliation-planted.test.ts';
const READING = 'libs/reconciliation/src/reading/csv-reader.spec.ts';
const FIXTURES = 'libs/reconciliation/src/reading/read-report.spec.ts';
const BANK = 'libs/reconciliation/src/reading/camt053.spec.ts';
const FAIRNESS = 'test/report-fairness.test.ts';
const CLOSING = 'test/matching-closing.test.ts';
const BREAKS = 'test/breaks.test.ts';
const APPROVALS = 'test/break-approvals.test.ts';

/**
 * Planted bugs of reconciliation: what peers are complained of for.
 *
 * @type {import('./table.mjs').Mutant[]}
 */
export const RECONCILIATION_MUTANTS = [
  ...inFile('libs/reconciliation/src/jobs/report-worker.ts', FAIRNESS, [
    [
      'whoever has reports keeps its turn until all are matched',
      'await job.moveToDelayed(Date.now(), token); throw new DelayedError();',
      'return this.#run(job, token);',
    ],
    [
      'what was received at the end of a turn is left',
      'if (await this.matcher.next(merchantId)) this.queue',
      'if (false) this.queue',
    ],
  ]),
  ...inFile('libs/reconciliation/src/jobs/report-matcher.ts', FAIRNESS, [
    ['a large report keeps its turn', '|| chunks >= turnChunks', ''],
  ]),
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
  ...inFile('libs/reconciliation/src/reading/csv-money.ts', FIXTURES, [
    [
      'a refund is below zero whatever its column says',
      'const told = gross ?? (net as bigint) + (fee ?? 0n);',
      "const size = gross ?? (net as bigint) + (fee ?? 0n); const told = type === 'refund' && size > 0n ? -size : size;",
    ],
    [
      'a dispute is below zero whatever its column says',
      'const told = gross ?? (net as bigint) + (fee ?? 0n);',
      "const size = gross ?? (net as bigint) + (fee ?? 0n); const told = type.startsWith('dispute') && size > 0n ? -size : size;",
    ],
  ]),
  ...inFile('libs/reconciliation/src/reading/csv-money.ts', READING, [
    [
      'net need not be gross less fee',
      'if (net !== undefined && net !== told - charged) {',
      'if (charged < 0n && net === told) {',
    ],
    [
      'a column that is a side may have a sign beside it',
      "if (cell(cells).includes('-'))",
      "if (cell(cells).startsWith('--'))",
    ],
  ]),
  ...inFile('libs/reconciliation/src/reading/camt053-row.ts', FIXTURES, [
    ['a name that stands for none is one', "text === '' || text === NOT_PROVIDED", "text === ''"],
    ['what leaves the account comes in', "amount: way === 'DBIT' ? -size : size", 'amount: size'],
    [
      'what comes back is a credit like others',
      'const isPayout = isReturned(transaction) === move.amount > 0n;',
      'const isPayout = move.amount < 0n;',
    ],
  ]),
  ...inFile('libs/reconciliation/src/reading/camt053-row.ts', BANK, [
    ['what is pending is booked', "return (entry['Sts/Cd'] || entry.Sts) === 'BOOK';", "return entry.Sts !== 'INFO';"],
  ]),
  ...inFile('libs/reconciliation/src/reading/camt053-statements.ts', BANK, [
    ['an entry need not be its transactions', 'else if (entry.sum !== move.amount) {', 'else if (entry.sum === 0n) {'],
  ]),
  ...inFile('libs/reconciliation/src/matching/bank.ts', CLOSING, [
    [
      'rows of several statements are told apart by their lines alone',
      'ON f.reconciliation_id = b.reconciliation_id AND f.line = b.line',
      'ON f.line = b.line',
    ],
    [
      'a credit that names two batches is the first row of one',
      'PARTITION BY f.items, f.item ORDER',
      'PARTITION BY f.item ORDER',
    ],
    [
      'amounts of two currencies are compared',
      'b.currency = f.currency AND b.gross <> f.amount',
      'b.gross <> f.amount',
    ],
  ]),
  ...inFile('libs/reconciliation/src/closing/absent-payouts.ts', CLOSING, [
    ['what a row may be is missing as well', 'AND b.item IS NULL AND c.item IS NULL', 'AND b.item IS NULL'],
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
  ...inFile('libs/reconciliation/src/breaks/approval.ts', BREAKS, [
    ['the maker approves by another key of the same name', 'isSameOperator(proposal.by, name) || ', ''],
    ['the maker approves by a key that it issued', '|| isSameOperator(proposal.responsible, responsible)', ''],
    [
      'a proposal is carried out by its maker',
      'if (!isOwn(proposal, operator)) return undefined;',
      'if (operator.keyId !== null) return undefined;',
    ],
  ]),
  ...inFile('libs/reconciliation/src/breaks/approval.ts', APPROVALS, [
    ['whatever is proposed by now is approved', 'if (proposal.id !== proposalId) {', 'if (proposalId === undefined) {'],
  ]),
  ...inFile('libs/reconciliation/src/breaks/breaks-extension.ts', APPROVALS, [
    [
      'a key that was revoked a moment ago still approves',
      "return key !== undefined && 'isValidKey' in key && key.isValidKey;",
      'return key !== undefined;',
    ],
    ['a key is revoked in the middle of what it approves', 'WHERE id = k.id FOR SHARE', 'WHERE id = k.id'],
  ]),
  ...inFile('libs/tenancy/src/operator-key.commands.ts', 'test/operator-keys.test.ts', [
    [
      'a revoked key issues itself another one',
      'if (asker.keyId === null || own?.revokedAtMs === null) return locked;',
      'if (asker.keyId === null || own) return locked;',
    ],
  ]),
  ...inFile('libs/reconciliation/src/breaks/approval.ts', 'test/break-approvals.test.ts', [
    [
      'a break is closed without its entry',
      "const posted = proposal.action === 'post' ? post(row, proposal, turn) : undefined;",
      'const posted = undefined as ReturnType<typeof post> | undefined;',
    ],
  ]),
];
