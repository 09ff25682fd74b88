import { describe, expect, test } from 'vitest';
import { businessDay, businessDayAt } from '#kernel/business-day.js';
import { icuOffsets, type Offsets } from '#kernel/time-zone.js';
import { Dice } from '../histories/history.js';
import { dayAfter, Wall } from './clocks.js';

const HOUR_MS = 3_600_000;

describe('a business day of the oracle, by hand', () => {
  test.each([
    ['Asia/Kolkata', '22:00', '2011-10-05', '2011-10-04T16:30Z', '2011-10-05T16:30Z'],
    ['Asia/Tokyo', '00:00', '2011-10-05', '2011-10-04T15:00Z', '2011-10-05T15:00Z'],
    // Noon itself is not after noon.
    ['UTC', '12:00', '2011-10-05', '2011-10-05T12:00Z', '2011-10-06T12:00Z'],
    ['UTC', '12:01', '2011-10-05', '2011-10-04T12:01Z', '2011-10-05T12:01Z'],
    // 25 hours: 02:00 is shown twice, and the first is the end of the day before.
    ['Europe/Berlin', '02:00', '2011-10-29', '2011-10-29T00:00Z', '2011-10-30T00:00Z'],
    ['Europe/Berlin', '02:00', '2011-10-30', '2011-10-30T00:00Z', '2011-10-31T01:00Z'],
    ['America/New_York', '00:00', '2011-11-06', '2011-11-06T04:00Z', '2011-11-07T05:00Z'],
    // 23.5 hours: 02:00 to 02:30 is skipped, and its end is the end of the day before.
    ['Australia/Lord_Howe', '02:15', '2011-10-01', '2011-09-30T15:45Z', '2011-10-01T15:30Z'],
    ['Australia/Lord_Howe', '02:15', '2011-10-02', '2011-10-01T15:30Z', '2011-10-02T15:15Z'],
    // The 30th of December was never shown.
    ['Pacific/Apia', '00:00', '2011-12-29', '2011-12-29T10:00Z', '2011-12-30T10:00Z'],
    ['Pacific/Apia', '00:00', '2011-12-30', '2011-12-30T10:00Z', '2011-12-30T10:00Z'],
    ['Pacific/Apia', '22:00', '2011-12-30', '2011-12-30T08:00Z', '2011-12-30T10:00Z'],
    ['Pacific/Apia', '02:00', '2011-12-30', '2011-12-30T10:00Z', '2011-12-30T12:00Z'],
  ])('%s at %s, %s: from %s to %s', (zone, cutoff, date, from, to) => {
    const { fromMs, toMs } = new Wall({ zone, cutoff }).day(date);
    expect([fromMs, toMs].map((ms) => new Date(ms).toISOString().replace(':00.000', ''))).toEqual([from, to]);
  });
});

test('the kernel reckons the same days by offsets', () => {
  const dice = new Dice(11);
  for (const zone of ['Asia/Kolkata', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Pacific/Apia'])
    for (const cutoff of ['00:00', '02:00', '02:15', '12:00', '22:00']) {
      const wall = new Wall({ zone, cutoff });
      const calendar = { offsets: icuOffsets(zone) as Offsets, cutoff };
      for (let date = '2011-09-20'; date < '2012-04-05'; date = dayAfter(date, 1 + dice.below(4))) {
        const { startMs, endMs } = businessDay(calendar, date);
        expect(wall.day(date), `${zone} ${cutoff}`).toEqual({ date, fromMs: startMs, toMs: endMs });
        const atMs = startMs + dice.below(30 * HOUR_MS);
        expect(wall.dayAt(atMs).date).toBe(businessDayAt(calendar, atMs).day);
      }
    }
});
