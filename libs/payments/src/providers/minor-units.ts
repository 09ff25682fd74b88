import { currencyExponent, isCurrency, MAX_AMOUNT } from '#kernel/money.js';
import { Untranslatable } from './provider.js';

/** Decimal digits that a provider gives a currency; undefined: it is not known to take it. */
export type Digits = (currency: string, iso: number) => number | undefined;

const STRIPE_NO_DIGITS = new Set('BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF'.split(' '));
/** Of no digits in ISO 4217; Stripe keeps two, which are always 00, for those who integrated when they had cents. */
const STRIPE_TWO_DIGITS = new Set(['ISK', 'UGX']);
const STRIPE_THREE_DIGITS = new Set(['BHD', 'JOD', 'KWD', 'OMR', 'TND']);

/** https://docs.stripe.com/currencies: two digits, but for its lists of zero-decimal and three-decimal currencies and special cases. */
export const stripeDigits: Digits = (currency, iso) => {
  if (STRIPE_NO_DIGITS.has(currency)) return 0;
  if (STRIPE_TWO_DIGITS.has(currency)) return 2;
  if (STRIPE_THREE_DIGITS.has(currency)) return 3;
  return iso === 2 ? 2 : undefined;
};

const ADYEN_DIFFERS = new Map([
  ['CLP', 2],
  ['CVE', 0],
  ['IDR', 0],
  ['ISK', 2],
]);

/** https://docs.adyen.com/development-resources/currency-codes: ISO 4217's, but for those marked "differs from standard". */
export const adyenDigits: Digits = (currency, iso) => ADYEN_DIFFERS.get(currency) ?? iso;

/** A provider's count of its minor units as ours. Throws Untranslatable where that is not exact. */
export function minorUnits(value: number | string, currency: string, digits: Digits): bigint {
  const count = wholeNumber(value);
  if (!isCurrency(currency))
    throw new Untranslatable(`${JSON.stringify(currency.slice(0, 10))} is no currency of ISO 4217`);
  const iso = currencyExponent(currency);
  const theirs = digits(currency, iso);
  if (theirs === undefined) throw new Untranslatable(`how many digits the provider gives ${currency} is not known`);
  const amount =
    iso >= theirs ? count * 10n ** BigInt(iso - theirs) : wholeUnits(count, 10n ** BigInt(theirs - iso), currency);
  if (amount > MAX_AMOUNT) throw new Untranslatable(`the amount is larger than ${MAX_AMOUNT} minor units`);
  return amount;
}

function wholeNumber(value: number | string): bigint {
  const isWhole = typeof value === 'number' ? Number.isSafeInteger(value) && value >= 0 : /^[0-9]{1,16}$/.test(value);
  if (!isWhole) throw new Untranslatable('an amount is no whole number of minor units');
  return BigInt(value);
}

function wholeUnits(count: bigint, ours: bigint, currency: string): bigint {
  if (count % ours !== 0n)
    throw new Untranslatable(`${currency} has no such fraction: the amount is not exact in minor units`);
  return count / ours;
}
