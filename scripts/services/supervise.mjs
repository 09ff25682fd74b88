import { exitWith, onStopRequest } from './on-stop-request.mjs';

/** @typedef {<T extends { stop(): unknown }>(started: T) => T} Keep */

/**
 * Runs `work`, until it ends or somebody asks this process to end; then stops what it has kept, the last first, and ends this
 * process: with the code that `work` answers, or with 1 after an error, which is shown.
 * @param {(keep: Keep) => Promise<number | void>} work
 * @param {{ codeWhenAsked?: number }} [options]
 */
export async function supervise(work, { codeWhenAsked = 0 } = {}) {
  /** @type {{ stop(): unknown }[]} */
  const kept = [];
  /** @type {Promise<number>} */
  const asked = new Promise((resolve) => onStopRequest(() => resolve(codeWhenAsked)));
  // What is waited for may be nothing but a signal, which keeps no process alive.
  setInterval(() => {}, 60_000);
  /** @type {unknown} */
  let failure;
  /** @type {number | void} */
  let code = 1;
  try {
    const working = work((started) => {
      kept.push(started);
      return started;
    });
    code = await Promise.race([asked, working]);
  } catch (error) {
    failure = error;
  }
  for (const one of kept.toReversed()) {
    try {
      await one.stop();
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure) exitWith(failure);
  process.exit(code ?? 0);
}
