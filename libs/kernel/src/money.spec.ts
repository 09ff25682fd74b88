import { describe, expect, it } from 'vitest';
import { CURRENCIES, currencyExponent, isCurrency } from './money.js';

describe('a currency', () => {
  it.each([
    ['EUR', 2],
    ['USD', 2],
    ['JPY', 0],
    ['KRW', 0],
    ['KWD', 3],
    ['BHD', 3],
    ['CLF', 4],
    // Divided by five in the street, by a hundred in ISO 4217.
    ['MGA', 2],
    ['MRU', 2],
  ])('%s has %i decimal digits', (code, exponent) => {
    expect(currencyExponent(code)).toBe(exponent);
  });

  it.each(['', 'eur', 'EUR ', 'EURO', 'XXZ', '__proto__', 'constructor', 'toString', 'EUR\0'])(
    '%j is not one',
    (code) => {
      expect(isCurrency(code)).toBe(false);
      expect(() => currencyExponent(code)).toThrow('unknown currency');
    },
  );

  it('is listed once, sorted, as three capitals with an exponent that PostgreSQL will take', () => {
    expect(CURRENCIES.length).toBeGreaterThan(150);
    expect(CURRENCIES).toEqual([...new Set(CURRENCIES)].sort());
    for (const code of CURRENCIES) {
      expect(code).toMatch(/^[A-Z]{3}$/);
      expect(isCurrency(code)).toBe(true);
      expect([0, 2, 3, 4]).toContain(currencyExponent(code));
    }
  });
});

it('lists them in the order of the alphabet', () => {
  expect(CURRENCIES).toEqual([...CURRENCIES].sort());
  expect(CURRENCIES.length).toBeGreaterThan(100);
});
