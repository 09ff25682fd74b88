import { describe, expect, it } from 'vitest';
import { estimateOf, PRICES, unitsOf } from './prices.js';

const NOTHING = { rows: 0, passedBy: 0, entries: 0, bytes: 0, rounds: 1 };

describe('a price', () => {
  it.each(Object.entries(PRICES))('%s is of whole thousandths, and never free', (_name, price) => {
    for (const part of Object.values(price)) expect(Number.isInteger(part) && part >= 0).toBe(true);
    expect(unitsOf(price, NOTHING)).toBeGreaterThan(0);
  });

  it('adds up what was touched, in whole units', () => {
    const price = { base: 2_000, row: 100, entry: 1_000, kib: 50 };
    expect(unitsOf(price, { rows: 10, passedBy: 100, entries: 3, bytes: 20_480, rounds: 1 })).toBe(2 + 1 + 1 + 3 + 1);
    expect(unitsOf(price, { ...NOTHING, rounds: 3 })).toBe(6);
    expect(unitsOf(price, { ...NOTHING, rows: 4 })).toBe(2);
    expect(unitsOf(price, { ...NOTHING, rows: 5 })).toBe(3);
  });

  it('of a posting is estimated by the length of its body, and of a list by how many rows it may have', () => {
    expect(estimateOf(PRICES.posting, { bytes: 200, rows: 0 })).toBe(15);
    expect(estimateOf(PRICES.posting, { bytes: 200_000, rows: 0 })).toBe(2_832);
    expect(estimateOf(PRICES.list, { bytes: 0, rows: 1_000 })).toBe(87);
    expect(estimateOf(PRICES.balance, { bytes: 0, rows: 0 })).toBe(1);
  });
});
