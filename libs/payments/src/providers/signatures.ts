import { timingSafeEqual } from 'node:crypto';

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

/** Older or newer than the tolerance allows: a replay, or a clock that is wrong. */
export function isStale(timestampS: number, { nowMs, toleranceMs }: { nowMs: number; toleranceMs: number }): boolean {
  return Math.abs(nowMs - timestampS * 1_000) > toleranceMs;
}
