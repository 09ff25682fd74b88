import { type Offsets, QUARTER_MS } from './time-zone.js';

/**
 * Business day D ends at the first moment after 12:00 local time of D at which the local clock shows the cut-off, and begins where
 * D−1 ends: with 22:00 at 22:00 on D, with 02:00 at 02:00 on D+1, with 00:00 it is the calendar day. A cut-off that the clock skips
 * is the end of the gap; one that it shows twice is the first. So every moment lies in one business day, and a day that a zone
 * skips as a whole lasts no time.
 */

export interface BusinessCalendar {
  /** Of the merchant's clock: a zone's, or of several zones one after another. */
  readonly offsets: Offsets;
  /** `HH:MM` */
  readonly cutoff: string;
}

export interface BusinessDay {
  /** `YYYY-MM-DD` */
  readonly day: string;
  readonly startMs: number;
  /** The first millisecond that is the next day's. */
  readonly endMs: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const NOON_MS = 12 * HOUR_MS;
/** Clocks are at most so far ahead of UTC and behind it, with an hour or two to spare. */
const MOST_AHEAD_MS = 16 * HOUR_MS;
const MOST_BEHIND_MS = 14 * HOUR_MS;

/** Throws RangeError when there is no such day or cut-off. */
export function businessDay(calendar: BusinessCalendar, day: string): BusinessDay {
  const midnight = midnightOf(day);
  return { day, startMs: endMs(calendar, midnight - DAY_MS), endMs: endMs(calendar, midnight) };
}

/** The business day that a moment lies in. */
export function businessDayAt(calendar: BusinessCalendar, atMs: number): BusinessDay {
  // Begins at the latest day whose end may lie before the moment, wherever on earth.
  let midnight = Math.floor((atMs - MOST_BEHIND_MS) / DAY_MS) * DAY_MS - 2 * DAY_MS;
  let startMs = endMs(calendar, midnight);
  for (;;) {
    midnight += DAY_MS;
    const end = endMs(calendar, midnight);
    if (atMs < end) return { day: new Date(midnight).toISOString().slice(0, 10), startMs, endMs: end };
    startMs = end;
  }
}

/** `midnight`: the day as the milliseconds of UTC at which it would begin there. */
function endMs({ offsets, cutoff }: BusinessCalendar, midnight: number): number {
  const cutoffMs = cutoffOf(cutoff);
  return firstMomentAt(offsets, midnight + cutoffMs + (cutoffMs > NOON_MS ? 0 : DAY_MS));
}

/** The first moment at which the local clock shows `localMs` or later. Local times are milliseconds as if they were of UTC. */
function firstMomentAt(offsets: Offsets, localMs: number): number {
  const fromMs = Math.floor((localMs - MOST_AHEAD_MS) / QUARTER_MS) * QUARTER_MS;
  const toMs = Math.ceil((localMs + MOST_BEHIND_MS) / QUARTER_MS) * QUARTER_MS;
  const spans = offsets({ fromMs, toMs });
  for (const [index, { atMs, minutes }] of spans.entries()) {
    const moment = Math.max(atMs, localMs - minutes * MINUTE_MS);
    if (moment < (spans[index + 1]?.atMs ?? Infinity)) return moment;
  }
  throw new Error('a clock without an offset');
}

function midnightOf(day: string): number {
  const midnight = /^\d{4}-\d\d-\d\d$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(midnight) || new Date(midnight).toISOString().slice(0, 10) !== day) {
    throw new RangeError(`${JSON.stringify(day)} is not a day: YYYY-MM-DD was expected`);
  }
  return midnight;
}

function cutoffOf(cutoff: string): number {
  const [, hours, minutes] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(cutoff) ?? [];
  if (hours === undefined) throw new RangeError(`${JSON.stringify(cutoff)} is not a time: HH:MM was expected`);
  return Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS;
}
