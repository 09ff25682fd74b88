import type { FeePlanSpan, FeePlanVersion } from '#fees/fee-plan.js';
import { planAt } from '#fees/spans.js';
import { type BusinessCalendar, type BusinessDay, businessDay, businessDayAt } from '#kernel/business-day.js';

/** A stretch of time in which all that decides what an item costs and where it belongs is the same. */
export interface Piece {
  /** Until the next piece's, or the end of its day. */
  readonly fromMs: number;
  readonly businessDate: string;
  /** Its first day: of the calendar month where the merchant is. */
  readonly month: string;
  readonly plan: FeePlanVersion | undefined;
}

const DAY_MS = 86_400_000;

/**
 * The pieces of a business day, and of all that may have to do with some days before it. `earlier`: days of UTC since 1970 in which
 * something happened.
 */
export function piecesOf(
  calendar: BusinessCalendar,
  plans: readonly FeePlanSpan[],
  day: BusinessDay,
  earlier: readonly number[],
): Piece[] {
  const days = new Map(earlier.flatMap((number) => daysWithin(calendar, number)).map((one) => [one.day, one]));
  days.set(day.day, day);
  return [...days.values()]
    .filter(({ startMs, endMs }) => startMs < endMs && startMs <= day.startMs)
    .sort((a, b) => a.startMs - b.startMs)
    .flatMap((one) => cut(calendar, plans, one));
}

/** The business days that a day of UTC has to do with. */
function daysWithin(calendar: BusinessCalendar, number: number): BusinessDay[] {
  const untilMs = (number + 1) * DAY_MS;
  const days: BusinessDay[] = [];
  for (let atMs = number * DAY_MS; atMs < untilMs; ) {
    const day = businessDayAt(calendar, atMs);
    days.push(day);
    atMs = day.endMs;
  }
  return days;
}

function cut(calendar: BusinessCalendar, plans: readonly FeePlanSpan[], { day, startMs, endMs }: BusinessDay): Piece[] {
  const civil = { ...calendar, cutoff: '00:00' };
  const monthAt = (atMs: number): string => `${businessDayAt(civil, atMs).day.slice(0, 7)}-01`;
  const monthMs = businessDay(civil, monthAt(endMs - 1)).startMs;
  const cuts = [monthMs, ...plans.map(({ fromMs }) => fromMs)].filter((atMs) => atMs > startMs && atMs < endMs);
  return [...new Set([startMs, ...cuts])]
    .sort((a, b) => a - b)
    .map((fromMs) => ({ fromMs, businessDate: day, month: monthAt(fromMs), plan: planAt(plans, fromMs) }));
}
