import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';

/**
 * Dead letters of what is no event of the log: something of a room's own that waited for too long. They are left and settled by the
 * room's commit groups, as CTEs of its statement; `$n` is JSON, an object a row. A room carries out itself what operators decide.
 */

export interface RoomLetter {
  readonly merchant_id: string;
  /** Snowflake. */
  readonly id: string;
  /** Who gave up on it. */
  readonly consumer: string;
  /** The room's own id of it. */
  readonly subject_id: string;
  readonly event_type: string;
  readonly error: string;
  /** What it says, for whoever decides. */
  readonly data: object;
}

export interface SettledRoomLetter extends Pick<RoomLetter, 'merchant_id' | 'consumer' | 'subject_id'> {
  readonly status: 'redriven' | 'discarded';
  /** Who settled it and why, where no operator decided so. */
  readonly decided_by: string;
  readonly reason: string;
}

/** A subject that was settled before has its letter open again. */
export function leaveLetters(parameter: number): string {
  return `
  INSERT INTO dead_letters AS d (merchant_id, id, consumer, subject_id, event_type, parks, tries, error, data, created_at)
  SELECT merchant_id, id, consumer, subject_id, event_type, 'event', 1, error, data, snowflake_time(id)
    FROM json_populate_recordset(NULL::dead_letters, $${parameter}::json)
  ON CONFLICT (merchant_id, consumer, subject_id) WHERE subject_id IS NOT NULL DO UPDATE
     SET status = 'parked', tries = d.tries + 1, error = excluded.error, decided_by = NULL, decided_at = NULL, reason = NULL
   WHERE d.status IN ('redriven', 'discarded')`;
}

/** What an operator decided stays his; what came of it otherwise says so. */
export function settleLetters(parameter: number): string {
  const isTheirs = `(d.status = 'redriving' AND n.status = 'redriven' OR d.status = 'discarding' AND n.status = 'discarded')`;
  return `
  UPDATE dead_letters d
     SET status = n.status, decided_at = CASE WHEN ${isTheirs} THEN d.decided_at ELSE now() END,
         decided_by = CASE WHEN ${isTheirs} THEN d.decided_by ELSE n.decided_by END,
         reason = CASE WHEN ${isTheirs} THEN d.reason ELSE n.reason END
    FROM json_populate_recordset(NULL::dead_letters, $${parameter}::json) n
   WHERE d.merchant_id = n.merchant_id AND d.consumer = n.consumer AND d.subject_id = n.subject_id
     AND d.status IN ('parked', 'redriving', 'discarding')`;
}

/** What an operator decided about a room's letter. */
export interface DecidedRoomLetter {
  readonly merchantId: bigint;
  readonly subjectId: bigint;
  readonly decision: 'redrive' | 'discard';
  readonly by: string;
  readonly reason: string;
}

const DECIDED = {
  name: 'decided-room-letters',
  text: `
SELECT merchant_id, subject_id, status, decided_by, reason FROM dead_letters
 WHERE consumer = $1 AND status IN ('redriving', 'discarding') AND subject_id IS NOT NULL ORDER BY merchant_id, id LIMIT $2`,
};

interface DecidedRow extends Record<string, unknown> {
  merchant_id: bigint;
  subject_id: bigint;
  status: 'redriving' | 'discarding';
  decided_by: string;
  reason: string;
}

/** What is decided and not carried out, of all merchants. */
export async function decidedRoomLetters(
  database: Database,
  consumer: string,
  limit: number,
  deadline: Deadline,
): Promise<DecidedRoomLetter[]> {
  const rows = await database.read<DecidedRow>('platform', deadline, { ...DECIDED, values: [consumer, limit] });
  return rows.map((row) => ({
    merchantId: row.merchant_id,
    subjectId: row.subject_id,
    decision: row.status === 'redriving' ? 'redrive' : 'discard',
    by: row.decided_by,
    reason: row.reason,
  }));
}
