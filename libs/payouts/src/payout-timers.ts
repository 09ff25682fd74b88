import { nextAskAt } from '#platform/ask-schedule.js';
import { type PayoutRow, sinceMs } from './payout-rows.js';

/** When the bank is to be told or asked of a payout: due rows (ADR 20), which commit with what makes them necessary or needless. */

/** The subject is a payout on its way: reserved, or instructed and unanswered. */
export const PAYOUT = 'payout';
/** The subject is a payout that the bank has answered, and may answer otherwise. */
export const PAYOUT_WATCH = 'payout_watch';
/**
 * The subject is a payout of which the bank has called back. A row of its own, which no change of the payout moves: the bank may say more
 * while what it said before is being posted.
 */
export const PAYOUT_HINT = 'payout_hint';

const DAY_MS = 86_400_000;

export interface PayoutTimes {
  /** How long after an instruction was taken the bank is asked; the last goes on as an interval. */
  readonly askScheduleMs: readonly number[];
  /** How long what it has answered is watched, daily. */
  readonly watchMs: number;
}

export interface NextAsk {
  readonly kind: typeof PAYOUT | typeof PAYOUT_WATCH;
  readonly atMs: number;
}

/** Undefined: not by itself any more. */
export function nextAsk(row: PayoutRow, { askScheduleMs, watchMs }: PayoutTimes, nowMs: number): NextAsk | undefined {
  const since = sinceMs(row);
  switch (row.status) {
    case 'requested':
    case 'reserved':
      return { kind: PAYOUT, atMs: nowMs };
    case 'instructed':
      return { kind: PAYOUT, atMs: nextAskAt(askScheduleMs, since, nowMs) };
    case 'paid':
    case 'failed': {
      const atMs = nextAskAt([DAY_MS], since, nowMs);
      // What it refused to take it knows nothing of.
      return row.bank_sequence === 0 || atMs > since + watchMs ? undefined : { kind: PAYOUT_WATCH, atMs };
    }
    case 'returned':
      return undefined;
  }
}
