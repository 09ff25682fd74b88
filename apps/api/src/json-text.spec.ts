import { describe, expect, it } from 'vitest';
import { countTurns } from '../../../test/support/count-turns.js';
import { slowClock } from '../../../test/support/slow-clock.js';
import { JsonText, jsonList, serialized } from './json-text.js';

const rest = { has_more: false, next_cursor: null };

function textsOf(count: number, length: number): string[] {
  return Array.from({ length: count }, (_, index) => JSON.stringify({ index, text: 'ä'.repeat(length) }));
}

describe('a list that is JSON already', () => {
  it.each([
    ['nothing', []],
    ['few', textsOf(3, 10)],
    ['many', textsOf(1_000, 200)],
    ['one large one', textsOf(1, 200_000)],
    ['large ones', textsOf(5, 70_000)],
  ])('is what JSON.stringify makes of it: %s', async (_, texts) => {
    const data = texts.map((text) => JSON.parse(text));
    expect(String((await jsonList('data', texts, rest)).payload)).toBe(JSON.stringify({ data, ...rest }));
    expect(String((await jsonList('data', texts)).payload)).toBe(JSON.stringify({ data }));
  });

  it('becomes bytes with others in between where it is long', async () => {
    const texts = textsOf(1_000, 1_000);
    const clock = slowClock(0.6);
    try {
      const { result, turns } = await countTurns(() => jsonList('data', texts, rest));
      expect(Buffer.isBuffer(result.payload)).toBe(true);
      // Each second piece of 64 KiB is one too many for its turn.
      expect(turns).toBeGreaterThan(5);
      expect(turns).toBeLessThan(12);
    } finally {
      clock.restore();
    }
  });

  it('is sent as it is, and everything else as JSON.stringify has it', () => {
    expect(serialized(new JsonText('{"data":[]}'))).toBe('{"data":[]}');
    expect(serialized({ data: ['ä'] })).toBe('{"data":["ä"]}');
  });
});
