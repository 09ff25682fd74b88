import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SEED } from '../../../test/support/seed.js';
import { accountOf, cacheKey, decodeValue, encodeValue } from './cached-balance.js';

const int8 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const id = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });

describe('a cached balance', () => {
  test('comes back as it was put in, whatever 64 bits hold', () => {
    fc.assert(
      fc.property(
        fc.record({
          version: id,
          postedDebits: int8,
          postedCredits: int8,
          pendingDebits: int8,
          pendingCredits: int8,
          asOfMs: fc.nat(),
        }),
        (balance) => {
          expect(decodeValue(String(balance.version), encodeValue(balance))).toEqual(balance);
        },
      ),
      { seed: SEED },
    );
  });

  test('was read at a fraction of a millisecond', () => {
    expect(decodeValue('1', '1 2 3 4 1795000000000.125').asOfMs).toBe(1_795_000_000_000.125);
  });

  test('that nobody here wrote is refused', () => {
    for (const value of ['', '1 2 3 4', '1 2 3 x 5', '1 2 3 4 5 6']) expect(() => decodeValue('1', value)).toThrow();
  });
});

describe('a cache key', () => {
  test('tells its account, and holds one merchant in one cluster slot', () => {
    fc.assert(
      fc.property(id, id, (merchantId, accountId) => {
        const key = cacheKey({ merchantId, accountId });
        expect(accountOf(key)).toEqual({ merchantId, accountId });
        expect(key).toContain(`{${merchantId}}`);
      }),
      { seed: SEED },
    );
  });

  test('of somebody else is not taken for an account', () => {
    for (const key of ['bull:{1}:2', 'xbal:{1}:2', 'bal:{1}:2:x', 'bal:{1}:'])
      expect(accountOf(key), key).toBeUndefined();
  });
});
