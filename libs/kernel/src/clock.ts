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
