import { describe, expect, it } from 'vitest';
import { countTurns } from '../../../test/support/count-turns.js';
import { slowClock } from '../../../test/support/slow-clock.js';
import { readPage } from './page-read.js';

const KIB = 1_024;

/** A list of texts; tells how many rows each read asked for. */
function listOf(texts: string[]) {
  const asked: number[] = [];
  const read = async (behind: number | undefined, count: number): Promise<number[]> => {
    asked.push(count);
    const from = (behind ?? -1) + 1;
    return texts.slice(from, from + count).map((_, index) => from + index);
  };
  return { asked, read, text: (row: number) => texts[row] as string };
}

describe('a page', () => {
  it('of a hundred small rows is one read', async () => {
    const { asked, ...list } = listOf(Array(500).fill('small'));
    const { texts, last, hasMore } = await readPage({ ...list, limit: 100, bytes: KIB * KIB });
    expect([texts.length, last, hasMore, asked]).toEqual([100, 99, true, [101]]);
  });

  it('of a thousand small rows is read in a few pieces, and is whole', async () => {
    const { asked, ...list } = listOf(Array(1_001).fill('small'));
    const { texts, hasMore } = await readPage({ ...list, limit: 1_000, bytes: KIB * KIB });
    expect([texts, hasMore]).toEqual([Array(1_000).fill('small'), true]);
    expect(asked).toEqual([101, 250, 250, 250, 150]);
  });

  it('of a thousand rows is written with others in between, and one of twenty in one go', async () => {
    const { asked: _, ...list } = listOf(Array(1_001).fill('x'.repeat(220)));
    const clock = slowClock(0.04);
    try {
      const long = await countTurns(() => readPage({ ...list, limit: 1_000, bytes: KIB * KIB }));
      expect(long.turns).toBeGreaterThan(10);
      expect((await countTurns(() => readPage({ ...list, limit: 20, bytes: KIB * KIB }))).turns).toBe(0);
    } finally {
      clock.restore();
    }
  });

  it('reads some rows too many, and never a thousand, where large ones lie behind small ones', async () => {
    const { asked, ...list } = listOf([...Array(101).fill('small'), ...Array(899).fill('x'.repeat(60 * KIB))]);
    const { texts, hasMore } = await readPage({ ...list, limit: 1_000, bytes: KIB * KIB });
    expect([texts.length, hasMore]).toEqual([101 + 17, true]);
    expect(asked).toEqual([101, 250]);
  });

  it('that may have few bytes begins with few rows, and has one however large it is', async () => {
    const { asked, ...list } = listOf(Array(10).fill('x'.repeat(60 * KIB)));
    const { texts, hasMore } = await readPage({ ...list, limit: 1_000, bytes: 20 * KIB });
    expect([texts.length, hasMore, asked]).toEqual([1, true, [2]]);
  });

  it('ends with the list', async () => {
    const { asked, ...list } = listOf(Array(30).fill('small'));
    expect(await readPage({ ...list, limit: 100, bytes: KIB * KIB })).toEqual({
      texts: Array(30).fill('small'),
      last: 29,
      hasMore: false,
    });
    expect(asked).toEqual([101]);
  });
});
