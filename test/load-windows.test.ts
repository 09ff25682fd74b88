import { describe, expect, test } from 'vitest';
import { rank, ratiosOf, type Window } from '../k6/lib/windows.ts';

const CPU = { all: 0, loader: 0, elsewhere: 0 };
const windowOf = (...postings: number[]): Window => ({ postings, reads: [], cpu: CPU });
/** 100 waits: most of them `usual`, the longest `longest`. */
const waits = (usual: number, longest: number): Window => windowOf(...Array<number>(99).fill(usual), longest);

describe('what noisy-neighbour holds', () => {
  test('p50 and p90 are of all windows of a side', () => {
    const beside = [windowOf(1, 2, 3, 4, 5), windowOf(6, 7, 8, 9, 10)];
    const elsewhere = [windowOf(2, 2, 2, 2, 2), windowOf(2, 2, 2, 4, 4)];
    // The sixth and the tenth of ten, by 2 and by 4.
    expect(ratiosOf({ alone: [], beside, elsewhere }, 'postings')).toMatchObject({ p50: 3, p90: 2.5 });
  });

  test('p99 is the median of pairs, so that one slow moment decides nothing', () => {
    const beside = [waits(5, 20), waits(5, 30), waits(5, 1_000)];
    const elsewhere = [waits(5, 10), waits(5, 10), waits(5, 10)];
    expect(ratiosOf({ alone: [], beside, elsewhere }, 'postings').p99).toBe(3);
    // Of two the middle.
    expect(ratiosOf({ alone: [], beside: beside.slice(0, 2), elsewhere: elsewhere.slice(0, 2) }, 'postings').p99).toBe(
      2.5,
    );
  });

  test('of nothing there is no ratio', () => {
    expect(rank([], 'postings', 0.5)).toBeNaN();
    expect(Object.values(ratiosOf({ alone: [], beside: [windowOf()], elsewhere: [windowOf(1)] }, 'postings'))).toEqual([
      Number.NaN,
      Number.NaN,
      Number.NaN,
    ]);
  });
});
