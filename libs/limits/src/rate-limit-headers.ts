import type { Plan } from './plan.js';

/**
 * Fields of draft-ietf-httpapi-ratelimit-headers-11. Units and the units of what is in flight are quota units of ours; the draft
 * leaves to a service what a request uses of them. `w` is how long an empty budget takes to be whole again.
 */
export function policyOf({ unitsPerSecond, burstUnits, unitsInFlight }: Plan): string {
  const wholeS = Math.max(1, Math.ceil(burstUnits / unitsPerSecond));
  return `"units";q=${burstUnits};w=${wholeS}, "in-flight";q=${unitsInFlight};qu="concurrent-requests"`;
}

/** `t`: of a refused request its Retry-After, which must not come before the end of that window. */
export function limitOf(
  { unitsPerSecond, burstUnits, unitsInFlight }: Plan,
  now: { available: number; inFlight: number; retryAfterS: number | undefined },
): string {
  const left = Math.max(0, Math.floor(now.available));
  const room = Math.max(0, unitsInFlight - now.inFlight);
  const windowS = now.retryAfterS ?? Math.max(1, Math.ceil((burstUnits - left) / unitsPerSecond));
  return `"units";r=${left};t=${windowS}, "in-flight";r=${room}`;
}
