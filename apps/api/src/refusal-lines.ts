import { type Clock, systemClock } from '#kernel/clock.js';
import { Rates } from '#platform/rates.js';

/** Kinds of refusals that are told apart. */
const KINDS = 100;

/**
 * Lines of the log about refusals that cost their callers nothing. Whoever floods with such requests would fill the disk: so many a second
 * of each kind are written, and the next one says how many were not. The metrics count all of them.
 */
export class RefusalLines {
  readonly #rates: Rates<string>;
  readonly #leftOut = new Map<string, number>();

  constructor(perSecond: number, clock: Clock = systemClock) {
    this.#rates = new Rates({ perSecond, burst: Math.max(1, perSecond), keys: KINDS }, clock);
  }

  /** How many were left out since the last line of this kind; undefined: this one is left out, too. */
  next(kind: string): number | undefined {
    const leftOut = this.#leftOut.get(kind) ?? 0;
    if (this.#rates.waitMs(kind) > 0) {
      this.#leftOut.set(kind, leftOut + 1);
      return undefined;
    }
    this.#rates.count(kind);
    this.#leftOut.delete(kind);
    return leftOut;
  }
}
