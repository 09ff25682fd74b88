import { currencyExponent } from '#kernel/money.js';

/** In major units, exactly. */
export function decimalOf(minor: bigint, currency: string): string {
  const digits = currencyExponent(currency);
  const text = String(minor < 0n ? -minor : minor).padStart(digits + 1, '0');
  const sign = minor < 0n ? '-' : '';
  return sign + (digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`);
}
