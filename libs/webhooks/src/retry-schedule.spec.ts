import { describe, expect, it } from 'vitest';
import { nextDelayMs, parseRetryAfter } from './retry-schedule.js';

const rules = { retryScheduleMs: [1_000, 10_000], retryAfterMaxMs: 60_000 };

describe('nextDelayMs', () => {
  it('follows the schedule and ends with it', () => {
    expect([1, 2, 3].map((tries) => nextDelayMs(rules, tries, undefined, 0))).toEqual([1_000, 10_000, undefined]);
  });

  it('adds up to a fifth at random', () => {
    expect(nextDelayMs(rules, 2, undefined, 0.5)).toBe(11_000);
    expect(nextDelayMs(rules, 2, undefined, 1)).toBe(12_000);
  });

  it.each([
    ['longer than the schedule: heeded', 30_000, 30_000],
    ['shorter: the schedule stands', 500, 1_000],
    ['without end: cut', 999_999_000, 60_000],
  ])('Retry-After %s', (_what, asked, delay) => expect(nextDelayMs(rules, 1, asked, 0)).toBe(delay));

  it('Retry-After does not begin the schedule again', () => {
    expect(nextDelayMs(rules, 3, 5_000, 0)).toBeUndefined();
  });
});

describe('parseRetryAfter', () => {
  const now = Date.parse('2026-11-21T12:00:00Z');

  it.each([
    ['120', 120_000],
    ['0', 0],
    ['Sat, 21 Nov 2026 12:01:00 GMT', 60_000],
    ['Sat, 21 Nov 2026 11:00:00 GMT', 0],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['2026-11-21', undefined],
    ['21 Nov 2026 12:01:00 GMT', undefined],
    ['99999999999', undefined],
    [undefined, undefined],
  ])('%s is %s', (value, ms) => expect(parseRetryAfter(value, now)).toBe(ms));
});
