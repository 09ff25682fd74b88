import { enqueueDue, removeDue } from '#platform/due-rows.js';
import type { Query } from '#platform/postgres.js';
import type { StateRow } from './group-parameters.js';

/** The due rows of holds: one for each that still holds something and has a time; the subject is the hold. */
export const HOLD_EXPIRY = 'hold expiry';

/** What a commit group says to the due rows, by the states that it writes; of each transaction its last. None: no hold has a time. */
export function holdTimers(states: readonly StateRow[]): Query[] {
  const rows = states.flatMap(({ merchantId, transactionId: subjectId, expiresAtMs: dueAtMs, value }) =>
    dueAtMs === undefined ? [] : [{ merchantId, subjectId, dueAtMs, isOpen: value.remaining > 0n }],
  );
  const [open, ended] = [rows.filter((row) => row.isOpen), rows.filter((row) => !row.isOpen)];
  return [
    ...(open.length > 0 ? [enqueueDue(HOLD_EXPIRY, open)] : []),
    ...(ended.length > 0 ? [removeDue(HOLD_EXPIRY, ended)] : []),
  ];
}
