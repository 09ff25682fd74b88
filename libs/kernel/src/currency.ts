import * as iso4217 from 'dinero.js/currencies';

/** ISO 4217 code → number of decimal digits of the minor unit (EUR 2, JPY 0, KWD 3), from dinero.js' maintained table. */
const EXPONENTS: ReadonlyMap<string, number> = new Map(
  Object.values(iso4217).map((currency) => [currency.code as string, Number(currency.exponent)]),
);

export const CURRENCIES: readonly string[] = [...EXPONENTS.keys()].sort();

export function isCurrency(code: string): boolean {
  return EXPONENTS.has(code);
}

/** Decimal digits of the currency's minor unit. Throws on an unknown code: check with `isCurrency` first. */
export function currencyExponent(code: string): number {
  const exponent = EXPONENTS.get(code);
  if (exponent === undefined) throw new Error(`unknown currency ${code}`);
  return exponent;
}
