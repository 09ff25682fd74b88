import { int4Array, int8Array, textArray, timestamptzArray } from './binary-array.js';
import type { Deadline } from './deadline.js';
import type { Database, Query } from './postgres.js';

/**
 * Timers as rows: something is to be done about a subject of a merchant, once its time has come. A row is written in the
 * transaction that makes it necessary and goes with the one that makes it needless, so that no crash loses or invents one.
 * `due_at` is when it was meant to happen; `try_at` is when it may next be claimed: the same at first, later the end of a
 * lease or of a wait after a failure.
 */

export interface DueRow {
  readonly merchantId: bigint;
  readonly subjectId: bigint;
  readonly dueAtMs: number;
  /** Claims so far, this one included. */
  readonly attempts: number;
}

/** A claimed row whose work is done for now, and that is due again at another time. */
export interface Rescheduled {
  readonly row: DueRow;
  /** Later than `row.dueAtMs`. */
  readonly dueAtMs: number;
}

/** What became of a claimed row: nothing but its next try is recorded of those that are not done. */
export interface Postponed {
  readonly row: DueRow;
  readonly waitMs: number;
  /** Attempts that count: those that say something about the row. */
  readonly attempts: number;
  readonly error: string | undefined;
}

/** Wait before a row whose work failed is tried again; it doubles with each failure, up to the longest. */
export const FIRST_WAIT_MS = 10_000;
export const LONGEST_WAIT_MS = 600_000;

/** $1 kind, $2 merchants, $3 subjects, $4 times. A row that is there already changes only when its time does. */
const ENQUEUE = `
INSERT INTO due_rows AS d (merchant_id, kind, subject_id, due_at, try_at)
SELECT merchant_id, $1, subject_id, due_at, due_at
  FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[]) AS u (merchant_id, subject_id, due_at)
ON CONFLICT (merchant_id, kind, subject_id) DO UPDATE
  SET due_at = excluded.due_at, try_at = excluded.try_at, attempts = 0, last_error = NULL
  WHERE d.due_at <> excluded.due_at`;

/** For the caller's transaction, a commit group's included: makes the subjects due, each subject once. */
export function enqueueDue(kind: string, rows: readonly Pick<DueRow, 'merchantId' | 'subjectId' | 'dueAtMs'>[]): Query {
  const times = timestamptzArray(rows.map((row) => row.dueAtMs));
  return { name: 'enqueue-due', text: ENQUEUE, values: [kind, ...keysOf(rows), times] };
}

/** For the caller's transaction: the subjects are not due any more. */
export function removeDue(kind: string, rows: readonly Pick<DueRow, 'merchantId' | 'subjectId'>[]): Query {
  return { name: 'remove-due', text: 'SELECT remove_due_rows($1, $2, $3)', values: [kind, ...keysOf(rows)] };
}

/** $1 kind, $2 merchants, $3 subjects, $4 errors. Whose time has come, no others. */
const POSTPONE_DUE = `
UPDATE due_rows d
   SET attempts = d.attempts + 1, last_error = coalesce(u.error, d.last_error),
       try_at = now() + least(${FIRST_WAIT_MS} * 2 ^ least(d.attempts, 20), ${LONGEST_WAIT_MS}) * interval '1 millisecond'
  FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS u (merchant_id, subject_id, error)
 WHERE d.merchant_id = u.merchant_id AND d.kind = $1 AND d.subject_id = u.subject_id AND d.due_at <= now()`;

/** For the caller's transaction: what is due and could not be done, by somebody who claims in another way, waits. */
export function postponeDue(
  kind: string,
  rows: readonly (Pick<DueRow, 'merchantId' | 'subjectId'> & { error: string | undefined })[],
): Query {
  return { text: POSTPONE_DUE, values: [kind, ...keysOf(rows), textArray(rows.map(({ error }) => error))] };
}

function keysOf(rows: readonly Pick<DueRow, 'merchantId' | 'subjectId'>[]): [Buffer, Buffer] {
  return [int8Array(rows.map((row) => row.merchantId)), int8Array(rows.map((row) => row.subjectId))];
}

/** $1 kind. Milliseconds until the next row may be claimed, of whichever merchant; NULL: there is none. */
const NEXT_DUE = `
SELECT ceil(extract(epoch FROM min(try_at) - now()) * 1000)::float8 AS in_ms FROM due_rows WHERE kind = $1`;

/**
 * $1 kind, $2 rows at most, $3 rows looked at: those that have waited longest. Of these, merchants take turns: one of whom
 * much is due at once leaves room for the others.
 */
const LOOK = `
SELECT merchant_id, subject_id
  FROM (SELECT merchant_id, subject_id, try_at, row_number() OVER (PARTITION BY merchant_id ORDER BY try_at) AS turn
          FROM (SELECT merchant_id, subject_id, try_at FROM due_rows WHERE kind = $1 AND try_at <= now()
                 ORDER BY try_at LIMIT $3) oldest) due
 ORDER BY turn, try_at LIMIT $2`;

/**
 * Locks rows by their key, one by one, and leaves out those that somebody else has locked: they are his. Conditions come outside,
 * on the row as it was locked; inside, the planner could take due_rows_next for each row, and read all that is due each time.
 */
const LOCK = `
 CROSS JOIN LATERAL (
   SELECT * FROM due_rows WHERE merchant_id = k.merchant_id AND kind = $1 AND subject_id = k.subject_id FOR UPDATE SKIP LOCKED) AS r`;
const IS_LOCKED = 'd.merchant_id = c.merchant_id AND d.kind = $1 AND d.subject_id = c.subject_id';

/** $1 kind, $2 merchants, $3 subjects, $4 lease in milliseconds. Whoever claims first has the row until its lease ends. */
const CLAIM = `
WITH c AS MATERIALIZED (
  SELECT r.* FROM unnest($2::bigint[], $3::bigint[]) AS k (merchant_id, subject_id) ${LOCK} WHERE r.try_at <= now())
UPDATE due_rows d SET try_at = now() + $4::int * interval '1 millisecond', attempts = d.attempts + 1
  FROM c WHERE ${IS_LOCKED}
RETURNING d.merchant_id, d.subject_id, d.due_at, d.attempts`;

/**
 * $1 kind, $2 merchants, $3 subjects, $4 times, $5 attempts. Rows that are still as they were claimed: who slept past a lease, or
 * whose row got another time meanwhile, settles nothing. Nobody is waited for: a lease ends by itself.
 */
const STILL_CLAIMED = `
WITH c AS MATERIALIZED (
  SELECT r.*, k.place FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::int[])
           WITH ORDINALITY AS k (merchant_id, subject_id, due_at, attempts, place) ${LOCK}
   WHERE r.due_at = k.due_at AND r.attempts = k.attempts)`;

const DONE = `${STILL_CLAIMED} DELETE FROM due_rows d USING c WHERE ${IS_LOCKED}`;

/** $6 waits in milliseconds, $7 attempts that count, $8 errors. */
const POSTPONE = `${STILL_CLAIMED}
UPDATE due_rows d
   SET try_at = now() + ($6::int[])[c.place] * interval '1 millisecond', attempts = ($7::int[])[c.place],
       last_error = coalesce(($8::text[])[c.place], d.last_error)
  FROM c WHERE ${IS_LOCKED}`;

/** $6 times. */
const RESCHEDULE = `${STILL_CLAIMED}
UPDATE due_rows d
   SET due_at = ($6::timestamptz[])[c.place], try_at = ($6::timestamptz[])[c.place], attempts = 0, last_error = NULL
  FROM c WHERE ${IS_LOCKED}`;

/**
 * The due rows of one kind. Statements whose best plan depends on how much is due are not prepared: they are planned for what there
 * is. Looking reaches over all merchants of a server and only reads; what is written names its merchants.
 */
export class DueRows {
  readonly #database: Database;
  readonly #kind: string;

  constructor(database: Database, kind: string) {
    this.#database = database;
    this.#kind = kind;
  }

  /** Milliseconds until the next row may be claimed, 0 and less: now. Undefined: nothing waits. */
  async nextInMs(deadline: Deadline): Promise<number | undefined> {
    const [row] = await this.#database.read<{ in_ms: number | null }>('platform', deadline, {
      name: 'next-due',
      text: NEXT_DUE,
      values: [this.#kind],
    });
    return row?.in_ms ?? undefined;
  }

  /** Claims at most `page` rows for `leaseMs`, oldest first and merchants in turn. Fewer than are due: others were faster. */
  async claim(options: { page: number; lookAhead: number; leaseMs: number }, deadline: Deadline): Promise<DueRow[]> {
    const due = await this.#database.read<{ merchant_id: bigint; subject_id: bigint }>('platform', deadline, {
      text: LOOK,
      values: [this.#kind, options.page, options.lookAhead],
    });
    if (due.length === 0) return [];
    const merchantIds = [...new Set(due.map((row) => row.merchant_id))];
    const claimed = await this.#database.write<ClaimedRow>({ merchantIds }, deadline, {
      text: CLAIM,
      values: [this.#kind, ...keysOf(due.map(toKey)), options.leaseMs],
    });
    return claimed.map(toDueRow);
  }

  /** Takes rows away whose work is done, where that has not done so itself. */
  async done(rows: readonly DueRow[], deadline: Deadline): Promise<void> {
    await this.#settle(DONE, rows, [], deadline);
  }

  async postpone(postponed: readonly Postponed[], deadline: Deadline): Promise<void> {
    const more = [
      int4Array(postponed.map(({ waitMs }) => waitMs)),
      int4Array(postponed.map(({ attempts }) => attempts)),
      textArray(postponed.map(({ error }) => error)),
    ];
    const rows = postponed.map(({ row }) => row);
    await this.#settle(POSTPONE, rows, more, deadline);
  }

  /** As new rows of another time; a row that went meanwhile, or got a time of somebody else's, stays as it is. */
  async reschedule(rescheduled: readonly Rescheduled[], deadline: Deadline): Promise<void> {
    const times = timestamptzArray(rescheduled.map(({ dueAtMs }) => dueAtMs));
    const rows = rescheduled.map(({ row }) => row);
    await this.#settle(RESCHEDULE, rows, [times], deadline);
  }

  async #settle(text: string, rows: readonly DueRow[], more: Buffer[], deadline: Deadline): Promise<void> {
    if (rows.length === 0) return;
    const merchantIds = [...new Set(rows.map((row) => row.merchantId))];
    const values = [
      this.#kind,
      ...keysOf(rows),
      timestamptzArray(rows.map((row) => row.dueAtMs)),
      int4Array(rows.map((row) => row.attempts)),
      ...more,
    ];
    await this.#database.write({ merchantIds }, deadline, { text, values });
  }
}

interface ClaimedRow extends Record<string, unknown> {
  merchant_id: bigint;
  subject_id: bigint;
  due_at: number;
  attempts: number;
}

function toKey(row: { merchant_id: bigint; subject_id: bigint }): Pick<DueRow, 'merchantId' | 'subjectId'> {
  return { merchantId: row.merchant_id, subjectId: row.subject_id };
}

function toDueRow(row: ClaimedRow): DueRow {
  return { ...toKey(row), dueAtMs: row.due_at, attempts: row.attempts };
}
