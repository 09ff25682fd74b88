/** Where time comes from. Code takes a Clock so that tests can turn it back. Both in milliseconds. */
export interface Clock {
  /** Wall time, milliseconds since 1970-01-01T00:00:00Z. May jump either way. */
  now(): number;
  /** Milliseconds from an arbitrary origin. Never goes back. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

let newestMs: number | undefined;
let newest = '';
let second: number | undefined;
/** `2026-11-21T17:09:00.` */
let upToFraction = '';

/**
 * As clients and events are told a time: ISO 8601 in UTC, with milliseconds. A posting tells three, and most of a batch the same
 * one: remembered, 100 of them take 1 µs instead of 50. Rows of a page are often of the same second: Date has to be asked once for each.
 */
export function isoTime(ms: number): string {
  if (ms !== newestMs) {
    newest = isoTimeOf(ms);
    newestMs = ms;
  }
  return newest;
}

function isoTimeOf(ms: number): string {
  const whole = Math.floor(ms / 1_000);
  if (whole !== second) {
    upToFraction = new Date(ms).toISOString().slice(0, -4);
    second = whole;
  }
  return `${upToFraction}${String(Math.floor(ms - whole * 1_000)).padStart(3, '0')}Z`;
}
