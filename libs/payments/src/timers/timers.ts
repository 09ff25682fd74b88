import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { nextAskAt } from '#platform/ask-schedule.js';
import type { PaymentTurn } from '../addition.js';
import type { KnownPayment } from '../known-payment.js';
import { type Question, questionOf } from './question.js';
import type { TimerOptions } from './timer-options.js';

/** What is to be done about payments at its time: due rows (ADR 20), which commit with what makes them necessary or needless. */

/** The subject is a payment that holds something. */
export const PAYMENT_EXPIRY = 'payment_expiry';
/** The subject is a fact that waits for its cause, by the id with which it was received. */
export const PARKED_FACT = 'parked_fact';
/** The subject is that of a Question. */
export const PAYMENT_QUERY = 'payment_query';

/** Sets the timers that differ between two states of a payment. */
export function setTimers(
  [before, after]: readonly [KnownPayment, KnownPayment],
  options: TimerOptions,
  turn: PaymentTurn,
): void {
  const nowMs = snowflakeTimeMs(turn.nextId());
  setExpiry([before, after], turn);
  for (const { row } of after.facts.values()) {
    const [was, is] = [before.facts.get(row.fact_id)?.row.outcome === 'parked', row.outcome === 'parked'];
    if (was !== is) turn.setTimer(PARKED_FACT, BigInt(row.id), is ? nowMs + options.parkedMaxAgeMs : undefined);
  }
  if (after.isAsked) setQuestion(questionOf(before, options), questionOf(after, options), { options, turn, nowMs });
}

function setExpiry([before, after]: readonly [KnownPayment, KnownPayment], turn: PaymentTurn): void {
  const [was, is] = [expiryOf(before), expiryOf(after)];
  if (was !== is && after.row) turn.setTimer(PAYMENT_EXPIRY, BigInt(after.row.id), is);
}

/** When what a payment holds expires; undefined: nothing is held, or only its provider knows when. */
export function expiryOf({ row }: KnownPayment): number | undefined {
  if (!row || row.expires_at === null || row.amount_capturable === '0') return undefined;
  return Date.parse(row.expires_at);
}

/** A question that stays the same keeps its place in the schedule. */
function setQuestion(
  before: Question | undefined,
  after: Question | undefined,
  { options, turn, nowMs }: { options: TimerOptions; turn: PaymentTurn; nowMs: number },
): void {
  if (before?.subjectId === after?.subjectId && before?.sinceMs === after?.sinceMs) return;
  if (before && before.subjectId !== after?.subjectId) turn.setTimer(PAYMENT_QUERY, before.subjectId, undefined);
  if (after) turn.setTimer(PAYMENT_QUERY, after.subjectId, nextAskAt(options.queryScheduleMs, after.sinceMs, nowMs));
}
