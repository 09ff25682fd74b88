import { describe, expect, it } from 'vitest';
import { Rates } from './rates.js';

function ratesOf(options: { perSecond: number; burst: number; keys?: number }) {
  const clock = { nowMs: 1_000, now: () => 0, monotonic: () => clock.nowMs };
  return { clock, rates: new Rates<string>({ keys: 10, ...options }, clock) };
}

function countAll(rates: Rates<string>, key: string, upTo = 1_000): number {
  let counted = 0;
  for (; counted < upTo && rates.waitMs(key) === 0; counted += 1) rates.count(key);
  return counted;
}

describe('a rate', () => {
  it.each([
    [1, 3],
    [3, 7],
    [0.5, 2],
    [20, 200],
  ])('of %f a second has a burst of %i, and then as many more as time has passed for', (perSecond, burst) => {
    const { clock, rates } = ratesOf({ perSecond, burst });
    expect(countAll(rates, 'a')).toBe(burst);
    expect(rates.waitMs('a')).toBeCloseTo(1_000 / perSecond);
    clock.nowMs += 2_000 / perSecond - 0.01;
    expect(countAll(rates, 'a')).toBe(1);
    clock.nowMs += 0.02;
    expect(countAll(rates, 'a')).toBe(1);
    clock.nowMs += 1e9;
    expect(countAll(rates, 'a')).toBe(burst);
  });

  it('is each key’s own', () => {
    const { rates } = ratesOf({ perSecond: 1, burst: 2 });
    countAll(rates, 'a');
    expect(countAll(rates, 'b')).toBe(2);
  });

  it('has what was given back', () => {
    const { rates } = ratesOf({ perSecond: 1, burst: 2 });
    countAll(rates, 'a');
    rates.giveBack('a');
    expect(countAll(rates, 'a')).toBe(1);
    rates.giveBack('unheard of');
    expect(countAll(rates, 'unheard of')).toBe(2);
  });

  it('tells who has nothing to make up for', () => {
    const { clock, rates } = ratesOf({ perSecond: 1, burst: 2 });
    expect(rates.isFresh('a')).toBe(true);
    rates.count('a');
    expect(rates.isFresh('a')).toBe(false);
    clock.nowMs += 1_000;
    expect(rates.isFresh('a')).toBe(true);
  });

  it('forgets whom it is longest since, beyond its keys', () => {
    const { rates } = ratesOf({ perSecond: 1, burst: 1, keys: 2 });
    for (const key of ['a', 'b', 'c']) rates.count(key);
    expect([rates.isFresh('a'), rates.isFresh('b'), rates.isFresh('c')]).toEqual([true, false, false]);
  });
});
