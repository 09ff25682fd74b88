import * as iso4217 from 'dinero.js/currencies';

/**
 * Money is a `bigint` count of minor units plus an ISO 4217 currency. One entry carries at most 2^53-1 minor units (what a
 * JSON integer can say exactly); a balance total stays below 2^62, so that no sum of two of them leaves PostgreSQL's int8.
 */
export const MAX_AMOUNT = 9_007_199_254_740_991n;
export const MAX_TOTAL = 4_611_686_018_427_387_904n;

/**
 * Ariary and ouguiya divide by five, which dinero.js writes as base 5, exponent 1. ISO 4217 gives them two decimal digits
 * like the rest of the world's software; taking the 1 for digits would be wrong by a factor of ten.
 */
const DIGITS_WHERE_NOT_DECIMAL = 2;

/** ISO 4217 code → number of decimal digits of the minor unit (EUR 2, JPY 0, KWD 3), from dinero.js' maintained table. */
const EXPONENTS: ReadonlyMap<string, number> = new Map(
  Object.values(iso4217).map(({ code, base, exponent }) => [
    code as string,
    Number(base) === 10 ? Number(exponent) : DIGITS_WHERE_NOT_DECIMAL,
  ]),
);

export const CURRENCIES: readonly string[] = [...EXPONENTS.keys()].sort();

const NAMES = new Intl.DisplayNames('en', { type: 'currency', fallback: 'code' });

/** In English, as CLDR has it; the code itself where CLDR has none. */
export function currencyName(code: string): string {
  return NAMES.of(code) ?? code;
}

export function isCurrency(code: string): boolean {
  return EXPONENTS.has(code);
}

/** Decimal digits of the currency's minor unit. Throws on an unknown code: check with `isCurrency` first. */
export function currencyExponent(code: string): number {
  const exponent = EXPONENTS.get(code);
  if (exponent === undefined) throw new Error(`unknown currency ${code}`);
  return exponent;
}
