/** Keys that look like a merchant's, checksum and all, and are nobody's: libs/tenancy/src/api-key.ts has how they are made. */

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_AT = 'cfm_'.length + 11;
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const POLYNOMIAL = 0xedb88320;

/** Of the merchant whose key is given, with a secret that was drawn. */
export function forgedKey(key: string): string {
  const secret = Array.from({ length: SECRET_LENGTH }, () => DIGITS[Math.floor(Math.random() * DIGITS.length)]);
  const body = key.slice(0, SECRET_AT) + secret.join('');
  return body + base62(crc32(body), CHECKSUM_LENGTH);
}

function crc32(text: string): number {
  let crc = 0xffffffff;
  for (let at = 0; at < text.length; at += 1) {
    crc ^= text.charCodeAt(at);
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  }
  return ~crc >>> 0;
}

function base62(value: number, length: number): string {
  let text = '';
  for (let rest = value; text.length < length; rest = Math.floor(rest / 62)) text = DIGITS[rest % 62] + text;
  return text;
}
