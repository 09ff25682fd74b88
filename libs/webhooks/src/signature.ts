import { createHmac, randomBytes } from 'node:crypto';

const PREFIX = 'whsec_';
/** Standard Webhooks asks for 24 to 64. */
const KEY_BYTES = 32;

export function newKey(): Buffer {
  return randomBytes(KEY_BYTES);
}

/** A key as its owner gets it, once: `whsec_` and base64. */
export function secretOf(key: Buffer): string {
  return PREFIX + key.toString('base64');
}

/**
 * Value of `webhook-signature` (Standard Webhooks): `v1,` and the base64 HMAC-SHA256 over `id.timestamp.body`, one for each
 * key, separated by spaces, so that a receiver with any of them can verify.
 */
export function signatureOf(keys: readonly Buffer[], id: string, timestampS: number, body: string): string {
  return keys
    .map((key) => `v1,${createHmac('sha256', key).update(`${id}.${timestampS}.${body}`).digest('base64')}`)
    .join(' ');
}
