import { describe, expect, it } from 'vitest';
import { icuOffsets } from './time-zone.js';

const YEAR_2026 = { fromMs: Date.UTC(2026, 0, 1), toMs: Date.UTC(2027, 0, 1) };
const told = (zone: string) =>
  icuOffsets(zone)?.(YEAR_2026).map(({ atMs, minutes }) => `${new Date(atMs).toISOString().slice(0, 16)} ${minutes}`);

describe('the offsets of a zone', () => {
  it('change when its clocks do', () => {
    expect(told('Europe/Berlin')).toEqual(['2026-01-01T00:00 60', '2026-03-29T01:00 120', '2026-10-25T01:00 60']);
  });

  it('may differ by half an hour, at half an hour', () => {
    expect(told('Australia/Lord_Howe')).toEqual([
      '2026-01-01T00:00 660',
      '2026-04-04T15:00 630',
      '2026-10-03T15:30 660',
    ]);
  });

  it('lie west of Greenwich below zero, and where no clock changes there is one', () => {
    expect(told('America/St_Johns')?.[0]).toBe('2026-01-01T00:00 -210');
    expect([told('UTC'), told('Asia/Kathmandu')]).toEqual([['2026-01-01T00:00 0'], ['2026-01-01T00:00 345']]);
  });

  it.each(['Mars/Olympus', '+02:00', '', '../../etc/passwd'])('of %j are not known', (zone) => {
    expect(told(zone)).toBeUndefined();
  });
});
