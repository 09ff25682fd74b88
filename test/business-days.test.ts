import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { businessDay, businessDayAt } from '#kernel/business-day.js';
import { icuOffsets, type Offsets } from '#kernel/time-zone.js';
import { SEED } from './support/seed.js';

const DAY_MS = 86_400_000;
/** One with half an hour of summer time, one without any, both hemispheres, one that sets its clock back at midnight, one that skipped a day. */
const ZONES = [
  'Europe/Berlin',
  'America/New_York',
  'America/Havana',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'Pacific/Apia',
];
const [FROM, TO] = [Date.UTC(2010, 0, 2), Date.UTC(2026, 11, 30)];
const CASES = 300;

/**
 * $1 zone, $2 days, $3 cut-offs. By PostgreSQL's own zones, and by looking at every minute: the first of those at which the clock
 * has reached the cut-off that follows on noon of the day.
 */
const ENDS = `
SELECT (extract(epoch FROM first.at) * 1000)::float8 AS end_ms
  FROM unnest($2::date[], $3::time[]) WITH ORDINALITY AS c (day, cutoff, place)
 CROSS JOIN LATERAL (
   SELECT min(shown) AS shown FROM (VALUES (day + cutoff), (day + 1 + cutoff)) AS v (shown) WHERE shown > day + time '12:00') next
 CROSS JOIN LATERAL (
   SELECT min(at) AS at
     FROM generate_series(next.shown AT TIME ZONE 'UTC' - interval '16 hours', next.shown AT TIME ZONE 'UTC' + interval '14 hours',
                          interval '1 minute') AS at
    WHERE at AT TIME ZONE $1 >= next.shown) first
 ORDER BY place`;

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const timeOf = (minute: number): string =>
  `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;

describe.each(ZONES)('business days in %s', (zone) => {
  let client: pg.Client;
  const offsets = icuOffsets(zone) as Offsets;
  beforeAll(async () => {
    client = new pg.Client({ connectionString: inject('ownerUrl') });
    await client.connect();
  });
  afterAll(() => client.end());

  /** Days on which the clock changes, and those beside them; cut-offs in their nights. */
  const changes = offsets({ fromMs: FROM, toMs: TO }).slice(1);
  const anyDay = fc.integer({ min: FROM / DAY_MS, max: TO / DAY_MS }).map((day) => day * DAY_MS);
  const changingDay = fc
    .tuple(
      fc.constantFrom(...(changes.length > 0 ? changes.map(({ atMs }) => atMs) : [FROM])),
      fc.integer({ min: -2, max: 1 }),
    )
    .map(([atMs, later]) => Math.floor(atMs / DAY_MS + later) * DAY_MS);
  const cutoff = fc.oneof(
    fc.integer({ min: 0, max: 1_439 }),
    fc.integer({ min: 0, max: 210 }),
    fc.constantFrom(0, 720, 721),
  );
  const cases = fc.array(fc.tuple(fc.oneof(anyDay, changingDay), cutoff), { minLength: CASES, maxLength: CASES });

  test('end when PostgreSQL’s clocks say so', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (asked) => {
        const [days, cutoffs] = [asked.map(([ms]) => dayOf(ms)), asked.map(([, minute]) => timeOf(minute))];
        const { rows } = await client.query<{ end_ms: number }>(ENDS, [zone, days, cutoffs]);
        const ends = days.map((day, index) => businessDay({ offsets, cutoff: cutoffs[index] as string }, day).endMs);
        expect(ends.map((ms, index) => [days[index], cutoffs[index], ms])).toEqual(
          rows.map(({ end_ms: ms }, index) => [days[index], cutoffs[index], ms]),
        );
      }),
      { seed: SEED, numRuns: 2, endOnFailure: true },
    );
  });

  test('hold each moment once, one after another', () => {
    fc.assert(
      fc.property(fc.oneof(anyDay, changingDay), fc.integer({ min: 0, max: DAY_MS - 1 }), cutoff, (day, ms, minute) => {
        const calendar = { offsets, cutoff: timeOf(minute) };
        const found = businessDayAt(calendar, day + ms);
        expect(found.startMs).toBeLessThanOrEqual(day + ms);
        expect(found.endMs).toBeGreaterThan(day + ms);
        expect(businessDay(calendar, found.day)).toEqual(found);
        expect(businessDayAt(calendar, found.endMs).startMs).toBe(found.endMs);
        expect(businessDay(calendar, dayOf(Date.parse(found.day) + DAY_MS)).startMs).toBe(found.endMs);
      }),
      { seed: SEED, numRuns: 1_000 },
    );
  });
});
