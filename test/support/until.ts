import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 2;
const LIMIT_MS = 30_000;

/** Polls until `look` answers something truthy. Orders events by what can be observed, never by how long they usually take. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  withinMs = LIMIT_MS,
): Promise<Exclude<NonNullable<T>, false>> {
  const end = performance.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen as Exclude<NonNullable<T>, false>;
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(POLL_MS);
  }
}
