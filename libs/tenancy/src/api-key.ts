import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * A merchant's API key, 64 characters:
 *
 *   cfm_ | 11: merchant id | 43: secret, 256 random bits | 6: CRC-32 of all before
 *
 * each part a number in base 62 (0-9A-Za-z), padded with zeros. The merchant id lets the look-up name its tenant; the
 * checksum lets secret scanners and this process tell a key from garbage without asking the database.
 */
const PREFIX = 'cfm_';
const MERCHANT_LENGTH = 11;
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const SECRET_BYTES = 32;
const FORMAT = /^cfm_[0-9A-Za-z]{60}$/;
export const OPERATOR_PREFIX = 'cfo_';
const OPERATOR_FORMAT = /^cfo_[0-9A-Za-z]{49}$/;
const MAX_MERCHANT_ID = (1n << 63n) - 1n;
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const HINT_LENGTH = 4;

export function generateApiKey(merchantId: bigint): string {
  return withChecksum(`${PREFIX}${base62(merchantId, MERCHANT_LENGTH)}${randomSecret()}`);
}

/**
 * A key of an operator by name, 53 characters: `cfo_`, then secret and checksum as above. Those of the environment look alike, and
 * need no checksum.
 */
export function generateOperatorKey(): string {
  return withChecksum(`${OPERATOR_PREFIX}${randomSecret()}`);
}

/** Whether it may be one that `generateOperatorKey` made. */
export function isOperatorKey(key: string): boolean {
  return OPERATOR_FORMAT.test(key) && hasChecksum(key);
}

/** The merchant whose key this would be, undefined when it is no key at all. Says nothing about its being valid. */
export function merchantOfApiKey(key: string): bigint | undefined {
  if (!FORMAT.test(key)) return undefined;
  if (!hasChecksum(key)) return undefined;
  let merchantId = 0n;
  for (const digit of key.slice(PREFIX.length, PREFIX.length + MERCHANT_LENGTH)) {
    merchantId = merchantId * 62n + BigInt(DIGITS.indexOf(digit));
  }
  return merchantId > 0n && merchantId <= MAX_MERCHANT_ID ? merchantId : undefined;
}

function randomSecret(): string {
  return base62(BigInt(`0x${randomBytes(SECRET_BYTES).toString('hex')}`), SECRET_LENGTH);
}

function withChecksum(body: string): string {
  return body + base62(BigInt(crc32(body)), CHECKSUM_LENGTH);
}

function hasChecksum(key: string): boolean {
  return withChecksum(key.slice(0, -CHECKSUM_LENGTH)) === key;
}

/** What is stored. No salt: 256 random bits cannot be tried out. */
export function sha256(key: string): Buffer {
  return hash('sha256', key, 'buffer');
}

/** What a list may show: the prefix and the last digits. */
export function hintOf(key: string): string {
  return `${key.slice(0, PREFIX.length)}…${key.slice(-HINT_LENGTH)}`;
}

/** Compares digests of equal length, so that neither content nor length shows in the time. */
export function isSameSecret(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

function base62(value: bigint, length: number): string {
  let rest = value;
  let text = '';
  while (rest > 0n) {
    text = DIGITS[Number(rest % 62n)] + text;
    rest /= 62n;
  }
  return text.padStart(length, '0');
}
