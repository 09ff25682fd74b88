import { expect, test } from 'vitest';
import { COVERING_ITEMS, coveringSet } from './covering-set.js';

const items = (...amounts: number[]) => amounts.map((amount, n) => ({ item: `${n}`, amount: BigInt(amount) }));
const found = (sum: number, ...amounts: number[]) =>
  coveringSet(BigInt(sum), items(...amounts))?.map(({ item }) => item);

test('the fewest items that come to the sum, and of these the first', () => {
  expect(found(70, 50, 20, 30, 40)).toEqual(['0', '1']);
  expect(found(40, 10, 30, 40)).toEqual(['2']);
  expect(found(-70, -50, -30, -20)).toEqual(['0', '2']);
});

test('nothing where no items come to it', () => {
  expect(found(71, 50, 20, 30, 40)).toBe(undefined);
  expect(found(10)).toBe(undefined);
});

test('no more items than a person would look at', () => {
  const ones = Array.from({ length: 20 }, () => 1);
  expect(found(COVERING_ITEMS, ...ones)?.length).toBe(COVERING_ITEMS);
  expect(found(COVERING_ITEMS + 1, ...ones)).toBe(undefined);
});

test('the search ends where it would take for ever', () => {
  const even = Array.from({ length: 40 }, (_, n) => 2 * (n + 1));
  // Some billions of sets, and none of them is odd.
  expect(found(101, ...even)).toBe(undefined);
});
