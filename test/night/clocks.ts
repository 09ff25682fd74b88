/** Business days by looking at a clock on the wall, quarter of an hour by quarter of an hour. */

export interface Clock {
  /** IANA name. */
  readonly zone: string;
  /** `HH:MM` */
  readonly cutoff: string;
}

export interface Day {
  /** `YYYY-MM-DD` */
  readonly date: string;
  readonly fromMs: number;
  readonly toMs: number;
}

const MINUTE_MS = 60_000;
/** No clock is changed at any other time; within one it runs as clocks do. */
const QUARTER_MS = 15 * MINUTE_MS;
const DAY_MS = 86_400_000;
/** A clock is no farther from UTC, wherever it hangs. */
const FARTHEST_MS = 16 * 3_600_000;
const NOON = '12:00';

/** Remembers what it saw: days are asked for again and again. */
export class Wall {
  readonly #format: Intl.DateTimeFormat;
  readonly #cutoff: string;
  readonly #shown = new Map<number, number>();
  readonly #ends = new Map<string, number>();

  constructor({ zone, cutoff }: Clock) {
    this.#cutoff = cutoff;
    this.#format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
  }

  day(date: string): Day {
    return { date, fromMs: this.#endOf(dayAfter(date, -1)), toMs: this.#endOf(date) };
  }

  /** The day that a moment lies in. */
  dayAt(atMs: number): Day {
    let date = dayAfter(this.dateAt(atMs), -2);
    while (this.#endOf(date) <= atMs) date = dayAfter(date, 1);
    return this.day(date);
  }

  /** The date that the clock shows. */
  dateAt(atMs: number): string {
    return new Date(this.#showsAt(atMs)).toISOString().slice(0, 10);
  }

  /** The first moment after noon of that date at which the clock shows the cut-off, or would have if it had not jumped. */
  #endOf(date: string): number {
    const known = this.#ends.get(date);
    if (known !== undefined) return known;
    const on = this.#cutoff > NOON ? date : dayAfter(date, 1);
    const found = this.#firstShowing(Date.parse(`${on}T${this.#cutoff}:00Z`));
    this.#ends.set(date, found);
    return found;
  }

  #firstShowing(wantedMs: number): number {
    for (let quarterMs = wantedMs - FARTHEST_MS; quarterMs <= wantedMs + FARTHEST_MS; quarterMs += QUARTER_MS) {
      const missing = wantedMs - this.#showsAt(quarterMs);
      if (missing < QUARTER_MS) return quarterMs + Math.max(missing, 0);
    }
    throw new Error('no clock is that far from UTC');
  }

  /** What the clock shows, as milliseconds of a clock in UTC that shows the same. */
  #showsAt(atMs: number): number {
    const quarter = Math.floor(atMs / QUARTER_MS);
    let shown = this.#shown.get(quarter);
    if (shown === undefined) {
      shown = Date.parse(`${this.#format.format(quarter * QUARTER_MS).replace(' ', 'T')}Z`);
      this.#shown.set(quarter, shown);
    }
    return shown + (atMs - quarter * QUARTER_MS);
  }
}

export function dayAfter(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}
