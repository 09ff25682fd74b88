import { expect, it } from 'vitest';
import { RefusalLines } from './refusal-lines.js';

it('so many lines of a kind are written a second, and the next one tells how many were left out', () => {
  let nowMs = 0;
  const lines = new RefusalLines(2, { now: () => nowMs, monotonic: () => nowMs });
  const asked = (kind: string) => Array.from({ length: 5 }, () => lines.next(kind));
  expect(asked('a')).toEqual([0, 0, undefined, undefined, undefined]);
  expect(asked('b')).toEqual([0, 0, undefined, undefined, undefined]);
  nowMs = 500;
  expect(asked('a')).toEqual([3, undefined, undefined, undefined, undefined]);
  nowMs = 10_000;
  expect(asked('a')).toEqual([4, 0, undefined, undefined, undefined]);
});
