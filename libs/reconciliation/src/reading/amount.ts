import { currencyExponent, isCurrency, MAX_AMOUNT } from '#kernel/money.js';
import { BadValue, quoted } from './bad-value.js';

/** How many decimal digits a source writes. */
export interface Digits {
  readonly currency: string;
  /** Of our minor unit. */
  readonly minor: number;
  /** At most so many are written; those beyond `minor` must be 0. */
  readonly written: number;
  /** Counts of the currency's minor unit are written: 1250 for 12.50. */
  readonly areCounts?: boolean;
}

/** How a currency is written; throws BadValue if it is none. */
export type DigitsOf = (currency: string) => Digits;

const DECIMAL = /^-?\d{1,16}(?:\.\d{1,6})?$/;
const NOT_ZERO = /[^0]/;

/** Minor units of a decimal such as 1234.56, exactly. Neither grouped nor with an exponent: 1.234 may be either of two amounts. */
export function amountOf(text: string, digits: Digits): bigint {
  const { currency, minor, written, areCounts } = digits;
  if (!DECIMAL.test(text) || (areCounts && text.includes('.'))) throw notAnAmount(text, digits);
  const point = text.indexOf('.');
  const [whole, fraction] = point === -1 ? [text, ''] : [text.slice(0, point), text.slice(point + 1)];
  if (fraction.length > written || (fraction.length > minor && NOT_ZERO.test(fraction.slice(minor)))) {
    throw new BadValue(`${quoted(text)} has more decimals than ${currency} has: ${Math.min(minor, written)}`);
  }
  const amount = BigInt(whole + fraction.slice(0, minor).padEnd(minor, '0'));
  if (amount > MAX_AMOUNT || amount < -MAX_AMOUNT)
    throw new BadValue(`${quoted(text)} is larger than an amount can be`);
  return amount;
}

function notAnAmount(text: string, { currency, areCounts }: Digits): BadValue {
  const expected = areCounts
    ? `a count of minor units of ${currency} was expected, digits alone`
    : 'digits were expected, with a point before decimals';
  return new BadValue(`${quoted(text)} is no amount: ${expected}`);
}

/** In major units, of a source that gives some currencies more digits than ISO 4217 does. */
export function majorUnits(theirs: (currency: string, iso: number) => number | undefined = () => undefined): DigitsOf {
  return remembered((currency, minor) => ({ currency, minor, written: Math.max(minor, theirs(currency, minor) ?? 0) }));
}

/** In minor units: a whole number. */
export function minorUnits(): DigitsOf {
  return remembered((currency) => ({ currency, minor: 0, written: 0, areCounts: true }));
}

function remembered(digits: (currency: string, minor: number) => Digits): DigitsOf {
  const known = new Map<string, Digits>();
  return (text) => {
    const found = known.get(text);
    if (found) return found;
    const currency = text.toUpperCase();
    if (!isCurrency(currency)) throw new BadValue(`${quoted(text)} is no currency of ISO 4217`);
    const made = digits(currency, currencyExponent(currency));
    known.set(text, made);
    return made;
  };
}
