import { setTimeout as sleep } from 'node:timers/promises';

const LIMIT_MS = 30_000;
/** Looks cost what they look at: what has taken long is looked at less often, and is noticed a tenth later at most. */
const POLL_MS = { least: 2, most: 25, share: 0.1 };

/** How long to sleep before the next look. */
export function pollMs(waitedMs: number): number {
  return Math.min(POLL_MS.most, Math.max(POLL_MS.least, waitedMs * POLL_MS.share));
}

/** Polls until `look` answers something truthy. Orders events by what can be observed, never by how long they usually take. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  withinMs = LIMIT_MS,
): Promise<Exclude<NonNullable<T>, false>> {
  const from = performance.now();
  for (;;) {
    const seen = await look();
    if (seen) return seen as Exclude<NonNullable<T>, false>;
    const waitedMs = performance.now() - from;
    if (waitedMs > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(pollMs(waitedMs));
  }
}
