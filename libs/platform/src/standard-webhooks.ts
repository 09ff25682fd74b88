import { createHmac, randomBytes } from 'node:crypto';
import { type Clocks, type Delivery, header, isSigned, isStale, type Refusal, secondsOf } from './signatures.js';

const PREFIX = 'whsec_';
/** Standard Webhooks asks for 24 to 64. */
const KEY_BYTES = 32;
const [MIN_KEY_BYTES, MAX_KEY_BYTES] = [24, 64];
const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;

export function newKey(): Buffer {
  return randomBytes(KEY_BYTES);
}

/** A key as its owner gets it, once: `whsec_` and base64. */
export function secretOf(key: Buffer): string {
  return PREFIX + key.toString('base64');
}

/** The key of a secret that somebody else made; undefined: it is none. */
export function keyOfSecret(secret: string): Buffer | undefined {
  const base64 = SECRET.exec(secret)?.[1];
  if (base64 === undefined || base64.length % 4 !== 0) return undefined;
  const key = Buffer.from(base64, 'base64');
  return key.length >= MIN_KEY_BYTES && key.length <= MAX_KEY_BYTES ? key : undefined;
}

/**
 * Value of `webhook-signature` (Standard Webhooks): `v1,` and the base64 HMAC-SHA256 over `id.timestamp.body`, one for each
 * key, separated by spaces, so that a receiver with any of them can verify.
 */
export function signatureOf(keys: readonly Buffer[], id: string, timestampS: number, body: string): string {
  return keys.map((key) => `v1,${macOf(key, id, String(timestampS), body).toString('base64')}`).join(' ');
}

/** HMAC-SHA256 over `id.timestamp.body`, as they stand. */
export function macOf(key: Buffer, id: string, timestamp: string, body: string | Buffer): Buffer {
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
}

/** What is wrong with the signature of a delivery: `v1,<base64>` once or several times, over `id.timestamp.body`. Undefined: nothing. */
export function refusalOf(delivery: Delivery, keys: readonly Buffer[], clocks: Clocks): Refusal | undefined {
  const id = header(delivery, 'webhook-id');
  const timestamp = header(delivery, 'webhook-timestamp');
  const timestampS = timestamp === undefined ? undefined : secondsOf(timestamp);
  const signatures = (header(delivery, 'webhook-signature') ?? '').split(' ').filter((one) => one.startsWith('v1,'));
  if (!id || timestamp === undefined || timestampS === undefined || signatures.length === 0) return 'unsigned';
  const macs = keys.map((key) => macOf(key, id, timestamp, delivery.body));
  const given = signatures.map((one) => Buffer.from(one.slice('v1,'.length), 'base64'));
  if (!isSigned(macs, given)) return 'wrong signature';
  return isStale(timestampS, clocks) ? 'stale' : undefined;
}
