import { isIPv4, isIPv6 } from 'node:net';
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

/** A number that need not be whole, such as a share. */
export function decimal(bounds: { max: number }) {
  const isRight = (value: string) => /^[0-9]*\.?[0-9]+$/.test(value) && Number(value) <= bounds.max;
  return z.string().refine(isRight, `must be a number from 0 to ${bounds.max}`).transform(Number);
}

/** 0 or 1. */
export function flag(fallback: '0' | '1') {
  return z
    .enum(['0', '1'], 'must be 0 or 1')
    .transform((value) => value === '1')
    .prefault(fallback);
}

/** One of a few words. */
export function oneOf<const Words extends readonly [string, string, ...string[]]>(words: Words) {
  return z.enum(words, `must be ${words.length === 2 ? words.join(' or ') : `one of ${words.join(', ')}`}`);
}

/** Several, separated by commas. */
export function list(isRight: (one: string) => boolean, message: string) {
  return z
    .string()
    .transform((value): readonly string[] => value.split(',').map((one) => one.trim()))
    .refine((values) => values.every(isRight), message);
}

/** Networks as `address/bits`, separated by commas; `none`: no network. */
export function networks(fallback: string) {
  return z
    .string()
    .transform((value): readonly string[] =>
      value === 'none' ? [] : value.split(',').map((network) => network.trim()),
    )
    .refine((values) => values.every(isNetwork), 'must be networks such as 192.0.2.0/24 or 2001:db8::/32, or none')
    .prefault(fallback);
}

function isNetwork(text: string): boolean {
  const [, address = '', bits = ''] = /^([^/]+)\/([0-9]{1,3})$/.exec(text) ?? [];
  return (isIPv4(address) && Number(bits) <= 32) || (isIPv6(address) && Number(bits) <= 128);
}
