import type { Deadline } from './deadline.js';
import { LONGEST_WAIT_MS } from './due-rows.js';
import type { Database } from './postgres.js';

/** Rows looked at of a kind, those to be tried next: beyond that a number tells nothing more. */
export const COUNTED = 10_000;

/** What is due of one kind of timers, of all merchants. */
export interface DueBacklog {
  kind: string;
  /** Rows whose time has come and that are not done. */
  overdue: number;
  /** Of these and of what comes next: rows whose last try failed. */
  failing: number;
  /** How long ago the time of the oldest came. */
  lagMs: number;
  /** When the next one is tried. */
  nextAtMs: number;
}

/**
 * $1 milliseconds that a row waits at most from one try to the next. Kinds one after the other along the index due_rows_next: no build
 * has to know them. A row whose time has come and that failed, or is at work, is overdue as well.
 */
const BACKLOGS = `
WITH RECURSIVE kinds (kind) AS (
  (SELECT kind FROM due_rows ORDER BY kind LIMIT 1)
  UNION ALL
  SELECT (SELECT d.kind FROM due_rows d WHERE d.kind > k.kind ORDER BY d.kind LIMIT 1) FROM kinds k WHERE k.kind IS NOT NULL)
SELECT kind, count(*) FILTER (WHERE due_at <= now())::int AS overdue, count(last_error)::int AS failing,
       greatest(extract(epoch FROM now() - min(due_at)) * 1000, 0)::float8 AS lag_ms,
       (SELECT min(try_at) FROM due_rows n WHERE n.kind = kinds.kind) AS next_at
  FROM kinds
  LEFT JOIN LATERAL (SELECT due_at, last_error FROM due_rows d
                      WHERE d.kind = kinds.kind AND try_at <= now() + $1::int * interval '1 millisecond'
                      ORDER BY try_at LIMIT ${COUNTED}) next ON true
 WHERE kind IS NOT NULL
 GROUP BY kind`;

interface BacklogRow extends Record<string, unknown> {
  kind: string;
  overdue: number;
  failing: number;
  lag_ms: number;
  next_at: number;
}

/** Of each kind that has rows. */
export async function readDueBacklogs(database: Database, deadline: Deadline): Promise<DueBacklog[]> {
  const rows = await database.read<BacklogRow>('platform', deadline, { text: BACKLOGS, values: [LONGEST_WAIT_MS] });
  return rows.map(({ lag_ms: lagMs, next_at: nextAtMs, ...row }) => ({ ...row, lagMs, nextAtMs }));
}
