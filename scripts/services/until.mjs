import { setTimeout as pause } from 'node:timers/promises';

const POLL_MS = 25;

/**
 * Asks until the answer is neither undefined nor false, at most `limitMs`; then answers undefined.
 * @template T
 * @param {number} limitMs
 * @param {() => T | Promise<T>} ask
 * @returns {Promise<Exclude<T, undefined | false> | undefined>}
 */
export async function until(limitMs, ask) {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return /** @type {Exclude<T, undefined | false>} */ (answer);
    if (performance.now() >= deadline) return undefined;
    await pause(POLL_MS);
  }
}
