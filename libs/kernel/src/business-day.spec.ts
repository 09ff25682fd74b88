import { describe, expect, it } from 'vitest';
import { type BusinessCalendar, businessDay, businessDayAt } from './business-day.js';
import { icuOffsets, type Offsets } from './time-zone.js';

const calendar = (zone: string, cutoff: string): BusinessCalendar => ({ offsets: icuOffsets(zone) as Offsets, cutoff });
const span = (zone: string, cutoff: string, day: string): [string, string] => {
  const { startMs, endMs } = businessDay(calendar(zone, cutoff), day);
  return [startMs, endMs].map((ms) => new Date(ms).toISOString().slice(0, 16)) as [string, string];
};

describe('a business day', () => {
  it.each([
    ['an evening of its own day', '22:00', '2026-11-09T21:00', '2026-11-10T21:00'],
    ['the night after it', '02:00', '2026-11-10T01:00', '2026-11-11T01:00'],
    ['midnight: it is the calendar day', '00:00', '2026-11-09T23:00', '2026-11-10T23:00'],
    ['a minute after noon, still on the day', '12:01', '2026-11-09T11:01', '2026-11-10T11:01'],
    ['noon, which is not after noon', '12:00', '2026-11-10T11:00', '2026-11-11T11:00'],
  ])('ends with the cut-off in %s', (_when, cutoff, start, end) => {
    expect(span('Europe/Berlin', cutoff, '2026-11-10')).toEqual([start, end]);
  });

  it('has 23 and 25 hours when the clocks change', () => {
    const hours = (day: string) => {
      const { startMs, endMs } = businessDay(calendar('Europe/Berlin', '23:00'), day);
      return (endMs - startMs) / 3_600_000;
    };
    expect([hours('2026-03-29'), hours('2026-10-25'), hours('2026-10-26')]).toEqual([23, 25, 24]);
  });

  it('ends at the end of the gap when the clock skips its cut-off', () => {
    // 02:00 to 03:00 was skipped at 01:00 UTC.
    expect(span('Europe/Berlin', '02:30', '2026-03-28')[1]).toBe('2026-03-29T01:00');
    expect(span('Europe/Berlin', '02:00', '2026-03-28')[1]).toBe('2026-03-29T01:00');
    expect(span('Europe/Berlin', '03:00', '2026-03-28')[1]).toBe('2026-03-29T01:00');
    // By half an hour: 02:00 to 02:30.
    expect(span('Australia/Lord_Howe', '02:10', '2026-10-03')[1]).toBe('2026-10-03T15:30');
  });

  it('ends when the clock shows its cut-off for the first of two times', () => {
    expect(span('Europe/Berlin', '02:30', '2026-10-24')[1]).toBe('2026-10-25T00:30');
    expect(span('America/Havana', '00:30', '2026-10-31')[1]).toBe('2026-11-01T04:30');
  });

  it('that the zone skips lasts no time', () => {
    // There was no 30 December 2011 in Samoa: 24:00 on the 29th was 00:00 on the 31st.
    const skipped = '2011-12-30T10:00';
    expect(span('Pacific/Apia', '00:00', '2011-12-29')).toEqual(['2011-12-29T10:00', skipped]);
    expect(span('Pacific/Apia', '00:00', '2011-12-30')).toEqual([skipped, skipped]);
    expect(span('Pacific/Apia', '00:00', '2011-12-31')).toEqual([skipped, '2011-12-31T10:00']);
    expect(businessDayAt(calendar('Pacific/Apia', '00:00'), Date.parse(`${skipped}Z`)).day).toBe('2011-12-31');
  });

  it('follows a merchant from one zone into another', () => {
    const movedAtMs = Date.parse('2026-06-10T15:00Z');
    const before = icuOffsets('Europe/Berlin') as Offsets;
    const after = icuOffsets('Asia/Tokyo') as Offsets;
    const offsets: Offsets = ({ fromMs, toMs }) => [
      ...(fromMs < movedAtMs ? before({ fromMs, toMs: Math.min(toMs, movedAtMs) }) : []),
      ...(toMs > movedAtMs ? after({ fromMs: Math.max(fromMs, movedAtMs), toMs }) : []),
    ];
    const ends = ['2026-06-09', '2026-06-10', '2026-06-11'].map((day) =>
      new Date(businessDay({ offsets, cutoff: '23:00' }, day).endMs).toISOString().slice(0, 16),
    );
    expect(ends).toEqual(['2026-06-09T21:00', '2026-06-10T15:00', '2026-06-11T14:00']);
  });

  it.each(['2026-02-29', '2026-13-01', '2026-1-1', '', '2026-01-01T00:00'])('is refused as %j', (day) => {
    expect(() => businessDay(calendar('UTC', '00:00'), day)).toThrow(RangeError);
  });

  it.each(['24:00', '2:00', '12:60', '', '00:00:00'])('never ends at %j', (cutoff) => {
    expect(() => businessDay(calendar('UTC', cutoff), '2026-01-01')).toThrow(RangeError);
  });
});
