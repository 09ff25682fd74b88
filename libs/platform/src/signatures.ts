import { timingSafeEqual } from 'node:crypto';

/** What somebody sent who has no key of ours, and signed. */
export interface Delivery {
  /** As it came: what is signed are bytes. */
  readonly body: Buffer;
  /** By their names in lower case, as Node has them. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** `unsigned`: it has no signature that could be right. `stale`: signed, but at another time than now. */
export type Refusal = 'unsigned' | 'stale' | 'wrong signature';

/** The whole text of a header that stands once. */
export function header({ headers }: Delivery, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** JSON.parse of bytes that are UTF-8; undefined: they are no JSON. */
export function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

/** Signatures of one delivery that are looked at: some for each secret that is valid at once. */
export const MAX_SIGNATURES = 10;

/** Whether any of the signatures is any of the macs. All are compared, so that it takes as long whichever it is. */
export function isSigned(macs: readonly Buffer[], signatures: readonly Buffer[]): boolean {
  let found = false;
  for (const mac of macs) {
    for (const signature of signatures.slice(0, MAX_SIGNATURES)) {
      found = (signature.length === mac.length && timingSafeEqual(signature, mac)) || found;
    }
  }
  return found;
}

const SECONDS = /^[0-9]{1,12}$/;

/** Seconds since 1970 as a header has them; undefined: it is no such number. */
export function secondsOf(text: string): number | undefined {
  return SECONDS.test(text) ? Number(text) : undefined;
}

/** How far the clocks of the two may be apart, and a delivery under way. */
export interface Clocks {
  readonly nowMs: number;
  readonly toleranceMs: number;
}

/** Older or newer than the tolerance allows: a replay, or a clock that is wrong. */
export function isStale(timestampS: number, { nowMs, toleranceMs }: Clocks): boolean {
  return Math.abs(nowMs - timestampS * 1_000) > toleranceMs;
}
