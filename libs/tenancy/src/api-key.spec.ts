import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SEED } from '../../../test/support/seed.js';
import { generateApiKey, hintOf, isSameSecret, merchantOfApiKey, sha256 } from './api-key.js';

const merchantIds = fc.bigInt({ min: 1n, max: (1n << 63n) - 1n });

describe('an API key', () => {
  it('has 64 characters and carries its merchant', () => {
    fc.assert(
      fc.property(merchantIds, (id) => {
        const key = generateApiKey(id);
        expect(key).toMatch(/^cfm_[0-9A-Za-z]{60}$/);
        expect(merchantOfApiKey(key)).toBe(id);
      }),
      { seed: SEED },
    );
  });

  it('is refused without a look-up when one character is another', () => {
    fc.assert(
      fc.property(merchantIds, fc.nat(59), fc.constantFrom(...'09AZaz'), (id, index, digit) => {
        const key = generateApiKey(id);
        const changed = key.slice(0, 4 + index) + digit + key.slice(5 + index);
        expect(merchantOfApiKey(changed)).toBe(changed === key ? id : undefined);
      }),
      { seed: SEED },
    );
  });

  it.each(['', 'cfm_', `cfm_${'0'.repeat(60)}`, `cfo_${'a'.repeat(60)}`, `cfm_${'é'.repeat(60)}`])(
    'is not %j',
    (text) => {
      expect(merchantOfApiKey(text)).toBeUndefined();
    },
  );

  it('is never twice the same', () => {
    expect(generateApiKey(1n)).not.toBe(generateApiKey(1n));
  });

  it('shows four digits of itself', () => {
    const key = generateApiKey(1n);
    expect(hintOf(key)).toBe(`cfm_…${key.slice(-4)}`);
  });

  it('compares by content', () => {
    expect(isSameSecret(sha256('a'), sha256('a'))).toBe(true);
    expect(isSameSecret(sha256('a'), sha256('b'))).toBe(false);
    expect(isSameSecret(sha256('a'), Buffer.alloc(0))).toBe(false);
  });
});
