import { describe, expect, it } from 'vitest';
import { CURRENCIES, currencyExponent } from '#kernel/money.js';
import { adyenDigits, minorUnits, stripeDigits } from './minor-units.js';

describe('an amount in a provider’s minor units', () => {
  it.each([
    // Stripe's, Adyen's, ours: of what each of them counts.
    ['EUR', 1250, 1250n, 1250n],
    ['JPY', 1250, 1250n, 1250n],
    ['KWD', 1250, 1250n, 1250n],
    ['ISK', 500, 5n, 5n],
    ['UGX', 500, 5n, 500n],
    ['CLP', 500, 500n, 5n],
    ['CVE', 5, 5n, 500n],
    ['IDR', 5, 5n, 500n],
    ['MGA', 5, 500n, 5n],
    ['HUF', 1250, 1250n, 1250n],
  ])('in %s of %i is %s at Stripe and %s at Adyen', (currency, amount, atStripe, atAdyen) => {
    expect(minorUnits(amount, currency, stripeDigits)).toBe(atStripe);
    expect(minorUnits(amount, currency, adyenDigits)).toBe(atAdyen);
  });

  it.each([
    ['a fraction that the currency does not have', 501, 'ISK', stripeDigits],
    ['a currency that nobody knows', 1, 'XXZ', stripeDigits],
    ['one in small letters', 1, 'eur', adyenDigits],
    ['a currency whose digits the provider does not say', 1, 'CLF', stripeDigits],
    ['half a cent', 1.5, 'EUR', stripeDigits],
    ['less than nothing', -1, 'EUR', stripeDigits],
    ['more than a JSON number can say', 2 ** 53, 'EUR', stripeDigits],
    ['a text that is no number', '1e3', 'EUR', adyenDigits],
    ['more than the ledger takes', 9_007_199_254_740_991, 'CVE', adyenDigits],
  ])('is refused with %s', (_what, amount, currency, digits) => {
    expect(() => minorUnits(amount, currency, digits)).toThrow(
      expect.objectContaining({ name: 'Untranslatable' }) as unknown as Error,
    );
  });

  it('is exact or refused in every currency', () => {
    for (const currency of CURRENCIES) {
      for (const digits of [stripeDigits, adyenDigits]) {
        const iso = currencyExponent(currency);
        const theirs = digits(currency, iso);
        if (theirs === undefined) continue;
        const whole = 10 ** theirs;
        expect([currency, minorUnits(whole, currency, digits)]).toEqual([currency, 10n ** BigInt(iso)]);
      }
    }
  });
});
