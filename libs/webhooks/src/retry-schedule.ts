/** Each wait is made longer by up to this share, so that what failed together does not come back together. */
const JITTER = 0.2;

export interface RetryRules {
  /** Wait after the first, the second … failed try; after the last of them the delivery has failed for good. */
  retryScheduleMs: readonly number[];
  /** Longest that an endpoint's Retry-After is heeded. */
  retryAfterMaxMs: number;
}

/**
 * Milliseconds until the next try after `tries` failed ones, or undefined when there is none. `retryAfterMs` is what the
 * endpoint asked for: it makes a wait longer, never shorter. `random` is from 0 to 1.
 */
export function nextDelayMs(
  rules: RetryRules,
  tries: number,
  retryAfterMs: number | undefined,
  random: number,
): number | undefined {
  const scheduledMs = rules.retryScheduleMs[tries - 1];
  if (scheduledMs === undefined) return undefined;
  const askedMs = Math.min(retryAfterMs ?? 0, rules.retryAfterMaxMs);
  return Math.round(Math.max(scheduledMs, askedMs) * (1 + JITTER * random));
}

/** `Retry-After` as seconds or an HTTP date, in milliseconds from now; undefined when it is neither. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^[0-9]{1,9}$/.test(value)) return Number(value) * 1_000;
  // Date.parse takes many forms; a date of HTTP begins with its day of the week.
  const atMs = /^[A-Z][a-z]{2}/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
