import { describe, expect, it } from 'vitest';
import { isoTime } from './clock.js';

const NOON_MS = Date.UTC(2026, 10, 27, 12);

describe('a time as it is told', () => {
  it('is in UTC and has its milliseconds', () => {
    expect(isoTime(NOON_MS)).toBe('2026-11-27T12:00:00.000Z');
    expect(isoTime(-1)).toBe('1969-12-31T23:59:59.999Z');
  });

  it('is its own, whichever was told before', () => {
    const told = [NOON_MS, NOON_MS, NOON_MS + 1, NOON_MS].map(isoTime);
    expect(told.map((text) => Date.parse(text) - NOON_MS)).toEqual([0, 0, 1, 0]);
  });

  it('that is none is refused, each time', () => {
    const tooLate = 8.64e15 + 1;
    for (const none of [Number.NaN, tooLate, tooLate]) expect(() => isoTime(none)).toThrow(RangeError);
    expect(isoTime(NOON_MS)).toBe('2026-11-27T12:00:00.000Z');
  });
});
