let newestMs: number | undefined;
let newest = '';

/**
 * As clients and events are told a time: ISO 8601 in UTC, with milliseconds. A posting tells three, and most of a batch the same
 * one: remembered, 100 of them take 1 µs instead of 50.
 */
export function isoTime(ms: number): string {
  if (ms !== newestMs) {
    newest = new Date(ms).toISOString();
    newestMs = ms;
  }
  return newest;
}
