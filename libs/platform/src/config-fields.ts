import { z } from 'zod';

/** Kinds of environment variables. Messages are sentences without their subject; values are not repeated in them. */

export function integer(bounds: { default: number; min: number; max: number }) {
  const message = `must be a whole number from ${bounds.min} to ${bounds.max}`;
  return z
    .string()
    .regex(/^[0-9]{1,12}$/, message)
    .transform(Number)
    .refine((value) => value >= bounds.min && value <= bounds.max, message)
    .default(bounds.default);
}

export function url(schemes: readonly string[]) {
  const message = `must be a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`;
  return z
    .string()
    .refine((value) => URL.canParse(value) && schemes.includes(new URL(value).protocol.slice(0, -1)), message);
}

/** 0 or 1. */
export function flag(fallback: '0' | '1') {
  return z.enum(['0', '1'], 'must be 0 or 1').default(fallback);
}
