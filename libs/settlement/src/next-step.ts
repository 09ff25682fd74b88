import { type BusinessCalendar, type BusinessDay, businessDay, businessDayAt } from '#kernel/business-day.js';
import { calendarOf } from './calendar.js';
import type { SettleResult } from './settle-result.js';
import type { Standing } from './standings.js';

/** The day of a merchant that is to be settled next. */
export interface Step {
  readonly standing: Standing;
  readonly calendar: BusinessCalendar;
  readonly day: BusinessDay;
  /** The day after it. */
  readonly next: BusinessDay;
  /** The merchant's first day, of one that has no day settled yet. */
  readonly firstDate: string;
}

const DAY_MS = 86_400_000;

export function dayAfter(date: string, days = 1): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

/** Whether what happened first decides which day is next: of a merchant whose first day this is, or who has missed some. */
export function needsEarliest({ position, draftedDate, waiting }: Standing, businessDate: string): boolean {
  if (draftedDate !== undefined || waiting.length === 0) return false;
  return position === undefined || dayAfter(position.businessDate) < businessDate;
}

/**
 * What is to be done next that a day be settled: another day before it, the day itself, or nothing any more. `earliestMs`: when the
 * first of what waits happened, where it is needed. Days in which nothing happened are passed over.
 */
export function nextStep(
  standing: Standing,
  earliestMs: number | undefined,
  { businessDate, nowMs }: { businessDate: string; nowMs: number },
): Step | SettleResult {
  const { merchantId, position, clock, createdAtMs, draftedDate, waiting, hasSettlements } = standing;
  const calendar = calendarOf(clock);
  if (position && businessDate <= position.businessDate) {
    if (businessDate < position.firstDate) return before(standing, position.firstDate);
    return { merchantId, outcome: hasSettlements ? 'settled' : 'empty' };
  }
  const asked = businessDay(calendar, businessDate);
  if (asked.endMs > nowMs) return { merchantId, outcome: 'not_due' };
  const opened = businessDayAt(calendar, Math.min(createdAtMs, earliestMs ?? createdAtMs)).day;
  const firstEver = draftedDate !== undefined && draftedDate < opened ? draftedDate : opened;
  const first = position ? dayAfter(position.businessDate) : firstEver;
  if (businessDate < first) {
    const detail = `${businessDate} is before the merchant, whose first day is ${first}.`;
    return { merchantId, outcome: 'not_due', problem: { code: 'validation_failed', detail } };
  }
  const happened = earliestMs === undefined ? businessDate : businessDayAt(calendar, earliestMs).day;
  const passable = waiting.length === 0 ? businessDate : happened < first ? first : happened;
  const date = draftedDate ?? (passable > businessDate ? businessDate : passable);
  const step = { standing, calendar, day: businessDay(calendar, date), next: businessDay(calendar, dayAfter(date)) };
  return { ...step, firstDate: position?.firstDate ?? first };
}

function before({ merchantId }: Standing, firstDate: string): SettleResult {
  const detail = `The merchant's days are settled from ${firstDate} on; none before it can be settled any more.`;
  return { merchantId, outcome: 'failed', problem: { code: 'invalid_transition', detail } };
}
