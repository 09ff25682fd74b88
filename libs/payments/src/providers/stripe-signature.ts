import { createHmac } from 'node:crypto';
import { type Clocks, type Delivery, header, isSigned, isStale, secondsOf } from '#platform/signatures.js';
import type { Verdict } from './provider.js';

interface StripeSignature {
  readonly timestamp: string;
  readonly timestampS: number;
  readonly v1: readonly Buffer[];
}

/** `Stripe-Signature: t=…,v1=…[,v1=…]`: hexadecimal HMAC-SHA256 over `t.body`. Other schemes (v0) are for nobody's trust. */
function readSignature(text: string): StripeSignature | undefined {
  const items = text.split(',').map((item) => {
    const at = item.indexOf('=');
    return [item.slice(0, at).trim(), item.slice(at + 1).trim()] as const;
  });
  const [timestamp, another] = items.filter(([name]) => name === 't').map(([, value]) => value);
  const v1 = items.filter(([name, value]) => name === 'v1' && /^[0-9a-f]{64}$/.test(value));
  const timestampS = timestamp === undefined ? undefined : secondsOf(timestamp);
  if (timestamp === undefined || another !== undefined || timestampS === undefined || v1.length === 0) return undefined;
  return { timestamp, timestampS, v1: v1.map(([, hex]) => Buffer.from(hex, 'hex')) };
}

export function verifyStripe(delivery: Delivery, keys: readonly Buffer[], clocks: Clocks): Verdict {
  const given = readSignature(header(delivery, 'stripe-signature') ?? '');
  if (given === undefined) return { accepted: false, reason: 'unsigned' };
  const macs = keys.map((key) =>
    createHmac('sha256', key).update(`${given.timestamp}.`).update(delivery.body).digest(),
  );
  if (!isSigned(macs, given.v1)) return { accepted: false, reason: 'wrong signature' };
  // Only now: whether a stamp is old says something only where it is signed.
  if (isStale(given.timestampS, clocks)) return { accepted: false, reason: 'stale' };
  return { accepted: true, body: delivery.body, refused: 0 };
}
