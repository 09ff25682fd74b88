import { LRUCache } from 'lru-cache';
import { type Clock, systemClock } from '#kernel/clock.js';
import { invalid } from '#kernel/problem.js';
import { icuOffsets, type ZoneOffset } from '#kernel/time-zone.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';

const DAY_MS = 86_400_000;
const YEARS_MS = 2 * 366 * DAY_MS;
/** More than there are zones. */
const REMEMBERED = 1_000;

const KNOWN = { name: 'known-time-zones', text: 'SELECT name FROM pg_timezone_names' };

/**
 * $1 zone, $2 $3 from and to: midnights of UTC. Its offsets as icuOffsets has them, in the way that summaries reckon days: by
 * AT TIME ZONE, which takes an abbreviation of that name first, and an abbreviation knows no summer time.
 */
const OFFSETS = {
  name: 'offsets-of-time-zone',
  text: `
WITH days AS (
  SELECT day, minutes, lead(minutes) OVER (ORDER BY day) AS next
    FROM generate_series($2::timestamptz, $3::timestamptz, interval '24 hours') AS day
    CROSS JOIN LATERAL (SELECT (extract(epoch FROM (day AT TIME ZONE $1) - (day AT TIME ZONE 'UTC')) / 60)::int AS minutes) o
)
SELECT (extract(epoch FROM $2::timestamptz) * 1000)::float8 AS at_ms, (SELECT minutes FROM days ORDER BY day LIMIT 1) AS minutes
UNION ALL
SELECT (extract(epoch FROM (
         SELECT min(at) FROM generate_series(day, day + interval '24 hours', interval '15 minutes') AS at
          WHERE (at AT TIME ZONE $1) - (at AT TIME ZONE 'UTC') = next * interval '1 minute')) * 1000)::float8, next
  FROM days WHERE next <> minutes
 ORDER BY 1`,
};

type Verdict = 'agreed' | 'unknown to ICU' | 'unknown to PostgreSQL' | 'disagreed';

const MESSAGES: Record<Exclude<Verdict, 'agreed'>, string> = {
  'unknown to ICU': 'must be an IANA time zone, such as Europe/Berlin',
  'unknown to PostgreSQL': 'is not a time zone that PostgreSQL knows; take an IANA name such as Europe/Berlin',
  disagreed: 'means another time to PostgreSQL than to ICU; take an IANA name such as Europe/Berlin',
};

/**
 * Which time zones a merchant may be in: those that ICU and PostgreSQL both know, with the same changes of the clock over the last
 * and the next two years. Each is compared once in a process.
 */
export class TimeZones {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #verdicts = new LRUCache<string, Verdict>({ max: REMEMBERED });
  #known: ReadonlySet<string> | undefined;

  constructor(database: Database, clock: Clock = systemClock) {
    this.#database = database;
    this.#clock = clock;
  }

  /** Throws `validation_failed` at `time_zone`. */
  async check(zone: string, deadline: Deadline): Promise<void> {
    const verdict = await this.#verdictOn(zone, deadline);
    if (verdict !== 'agreed') throw invalid('time_zone', MESSAGES[verdict]);
  }

  /** What `isReckonable` needs to have been asked for. */
  async load(deadline: Deadline): Promise<void> {
    if (this.#known) return;
    const rows = await this.#database.read<{ name: string }>('platform', deadline, { ...KNOWN, values: [] });
    this.#known = new Set(rows.map(({ name }) => name));
  }

  /** Whether PostgreSQL can reckon days in it at all. */
  isReckonable(zone: string): boolean {
    if (!this.#known) throw new Error('the time zones have not been loaded');
    return this.#known.has(zone);
  }

  async #verdictOn(zone: string, deadline: Deadline): Promise<Verdict> {
    let verdict = this.#verdicts.get(zone);
    if (!verdict) {
      verdict = await this.#compare(zone, deadline);
      this.#verdicts.set(zone, verdict);
    }
    return verdict;
  }

  async #compare(zone: string, deadline: Deadline): Promise<Verdict> {
    const today = Math.floor(this.#clock.now() / DAY_MS) * DAY_MS;
    const span = { fromMs: today - YEARS_MS, toMs: today + YEARS_MS };
    const icu = icuOffsets(zone)?.(span);
    if (!icu) return 'unknown to ICU';
    await this.load(deadline);
    if (!this.isReckonable(zone)) return 'unknown to PostgreSQL';
    const rows = await this.#database.read<{ at_ms: number; minutes: number }>('platform', deadline, {
      ...OFFSETS,
      values: [zone, new Date(span.fromMs), new Date(span.toMs)],
    });
    const isSame = rows.length === icu.length && rows.every((row, index) => isOffset(row, icu[index] as ZoneOffset));
    return isSame ? 'agreed' : 'disagreed';
  }
}

function isOffset(row: { at_ms: number; minutes: number }, { atMs, minutes }: ZoneOffset): boolean {
  return row.at_ms === atMs && row.minutes === minutes;
}
