import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Refused } from '#ledger/posting/command.js';
import { refuse } from '#ledger/posting/entries.js';
import type { Answer } from '#ledger/writing/group-extension.js';
import { breakBody } from './break-body.js';
import { breakResolved } from './break-events.js';
import { type BreakTurn, breakKey } from './break-part.js';
import type { BreakRow, Comment, Resolution } from './break-row.js';
import type { ENDED_STATUSES } from './break-status.js';
import { MAX_COMMENTS } from './limits.js';

/** Keeps what a break has become; commands of the group that come later see it. */
export function keep(row: BreakRow, turn: BreakTurn): void {
  const known = turn.known(breakKey(row.id));
  turn.learn(breakKey(row.id), { break: row, row: known && 'break' in known ? known.row : null });
  turn.write({ table: 'breaks', row });
}

export function changed(row: BreakRow, turn: BreakTurn): Answer {
  keep(row, turn);
  return { status: 200, response: JSON.stringify(breakBody(row, snowflakeTimeMs(turn.nextId()))) };
}

export function commented(row: BreakRow, comment: Comment): BreakRow | Refused {
  if (row.comments.length < MAX_COMMENTS) return { ...row, comments: [...row.comments, comment] };
  return refuse('validation_failed', `The break has ${MAX_COMMENTS} comments, and takes no more.`);
}

/** Ends it, and tells the log. */
export function end(
  row: BreakRow,
  status: (typeof ENDED_STATUSES)[number],
  resolution: Resolution,
  turn: BreakTurn,
): BreakRow {
  const ended = { ...row, status, proposal: null, resolution };
  keep(ended, turn);
  turn.emit(breakResolved(ended));
  return ended;
}
