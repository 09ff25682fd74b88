import { afterEach, describe, expect, it } from 'vitest';
import type { Charged } from './charge.js';
import { fairnessOf, LimitCounts } from './limit-counts.js';

const charged = (merchantId: bigint | undefined, actual: number, more: Partial<Charged> = {}): Charged => ({
  merchantId,
  byOperator: false,
  method: 'GET',
  route: '/v1/accounts',
  price: 'list',
  estimated: actual,
  actual,
  refused: undefined,
  ...more,
});

describe('the fairness index', () => {
  it.each([
    [[], 1],
    [[7], 1],
    [[0, 0], 1],
    [[5, 5, 5], 1],
    [[9, 0, 0], 1 / 3],
    [[1, 3], 0.8],
  ])('of %j is %d', (shares, index) => expect(fairnessOf(shares)).toBeCloseTo(index, 12));
});

describe('what requests came to', () => {
  let counts: LimitCounts;
  afterEach(() => counts.close());

  it('is told by price and by whose key', () => {
    counts = new LimitCounts(() => 1);
    counts.add(charged(1n, 3));
    counts.add(charged(2n, 4));
    counts.add(charged(2n, 5, { byOperator: true }));
    counts.add(charged(undefined, 6, { byOperator: true, price: 'get' }));
    expect([...counts.units()]).toEqual([
      [{ price: 'list', by: 'merchant' }, 7],
      [{ price: 'list', by: 'operator' }, 5],
      [{ price: 'get', by: 'operator' }, 6],
    ]);
  });

  it('is compared between merchants by their weight, of one interval', () => {
    counts = new LimitCounts((merchantId) => Number(merchantId));
    counts.add(charged(1n, 10));
    counts.add(charged(3n, 30));
    counts.add(charged(1n, 500, { byOperator: true }));
    expect(counts.fairness).toBe(1);
    counts.tick();
    expect(counts.fairness).toBe(1);
    counts.add(charged(1n, 30));
    counts.add(charged(3n, 30));
    counts.tick();
    expect(counts.fairness).toBeCloseTo(0.8, 12);
  });

  it('is nothing for what was refused, which is counted by the limit', () => {
    counts = new LimitCounts(() => 1);
    counts.add(charged(1n, 0, { refused: 'units' }));
    counts.add(charged(1n, 0, { refused: 'in_flight' }));
    counts.add(charged(1n, 0, { refused: 'units' }));
    expect(counts.refusals).toEqual({ units: 2, in_flight: 1 });
  });
});
