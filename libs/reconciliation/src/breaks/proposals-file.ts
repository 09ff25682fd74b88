import { invalid } from '#kernel/problem.js';
import { parseSnowflake } from '#kernel/snowflake.js';
import { isReadable } from '#kernel/text.js';
import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import { csvHeader, widthProblem } from '../reading/csv-header.js';
import { CsvRows } from '../reading/csv-rows.js';
import { decoded } from '../reading/decoded.js';
import { READING_LIMITS } from '../reading/limits.js';
import { PROPOSALS } from './break-row.js';
import { MAX_PROPOSALS, MAX_REASON } from './limits.js';

/** A line that can be read: what it proposes, the currency of a `post` being its break's. */
export interface ProposedLine {
  readonly breakId: bigint;
  readonly action: (typeof PROPOSALS)[number];
  readonly accountDebit: string;
  readonly accountCredit: string;
  readonly amount: bigint;
  readonly reason: string;
}

export interface FileLine {
  readonly line: number;
  readonly proposed: ProposedLine | Refused;
}

const NEEDED = ['break_id', 'action', 'reason'];
const OF_POSTS = ['account_debit', 'account_credit', 'amount'];

/** Each line for itself. Throws `validation_failed` for what is no such file, or has too many lines. */
export function readProposals(bytes: Buffer): FileLine[] {
  const text = bytes.toString('latin1').replace(/^\xef\xbb\xbf/, '');
  const end = text.search(/\r?\n/);
  if (end === -1) throw invalid('body', 'must have a header and at least one line');
  const { separator, columns, width } = csvHeader(text.slice(0, end), NEEDED, OF_POSTS);
  const lines: FileLine[] = [];
  const keep = (line: number, proposed: ProposedLine | Refused) => {
    if (lines.length === MAX_PROPOSALS) throw invalid('body', `must have at most ${MAX_PROPOSALS} lines`);
    lines.push({ line, proposed });
  };
  const form = { separator, newline: '\n', firstLine: 2, rowBytes: READING_LIMITS.rowBytes };
  const rows = new CsvRows(form, {
    take: ({ cells, line }) => {
      if (cells.every((cell) => cell.trim() === '')) return;
      const cell = (name: string) => decoded(cells[columns.get(name) ?? -1] ?? '').trim();
      const problem = widthProblem(cells, width);
      keep(line, problem === undefined ? proposedBy(cell) : bad(problem));
    },
    refuse: ({ line, problem }) => keep(line, bad(problem)),
  });
  rows.read(text.slice(end).replace(/^\r?\n/, ''));
  rows.end();
  if (lines.length === 0) throw invalid('body', 'must have a header and at least one line');
  return lines;
}

function proposedBy(cell: (name: string) => string): ProposedLine | Refused {
  const breakId = parseSnowflake(cell('break_id'));
  if (breakId === undefined) return bad('must be an id', 'break_id');
  const action = PROPOSALS.find((one) => one === cell('action'));
  if (!action) return bad(`must be one of ${PROPOSALS.join(', ')}`, 'action');
  const reason = cell('reason');
  if (reason.length > MAX_REASON || !isReadable(reason)) {
    return bad(`must have 1 to ${MAX_REASON} characters, and something that can be read`, 'reason');
  }
  const [accountDebit, accountCredit, digits] = OF_POSTS.map(cell) as [string, string, string];
  const isPost = action === 'post';
  const misplaced = OF_POSTS.find((name) => isPost !== (cell(name) !== ''));
  if (misplaced) return bad(isPost ? 'is needed by a post' : `is of a post alone, not of a ${action}`, misplaced);
  if (isPost && !/^[1-9][0-9]{0,18}$/.test(digits)) return bad('must be a count of minor units, at least 1', 'amount');
  return { breakId, action, accountDebit, accountCredit, amount: BigInt(digits || 0), reason };
}

function bad(message: string, path = 'line'): Refused {
  return refuse('validation_failed', `${path}: ${message}`, path);
}
