import { LRUCache } from 'lru-cache';
import { type Clock, systemClock } from '#kernel/clock.js';

export interface RatesOptions {
  perSecond: number;
  /** So many may come at once. */
  burst: number;
  /** Keys that are remembered. Of whom it is longest ago is forgotten, and begins anew. */
  keys: number;
}

/** A rate for each key: the generic cell rate algorithm, one number a key (ATM Forum, TM 4.0, 4.4.2). */
export class Rates<Key extends {}> {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #burstMs: number;
  /** When a key would be back at nothing if nothing more came. */
  readonly #idleAt: LRUCache<Key, number>;

  constructor({ perSecond, burst, keys }: RatesOptions, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#intervalMs = 1_000 / perSecond;
    this.#burstMs = burst * this.#intervalMs;
    this.#idleAt = new LRUCache({ max: keys });
  }

  /** Milliseconds until one more is within the rate; 0: now. */
  waitMs(key: Key): number {
    const waitMs = this.#aheadMs(key) + this.#intervalMs - this.#burstMs;
    // What sums of intervals are off by is no time.
    return waitMs < 0.001 ? 0 : waitMs;
  }

  /** Whether any came that the rate has not made up for yet. */
  isFresh(key: Key): boolean {
    return this.#aheadMs(key) === 0;
  }

  count(key: Key): void {
    this.#idleAt.set(key, this.#clock.monotonic() + this.#aheadMs(key) + this.#intervalMs);
  }

  /** It was none after all. */
  giveBack(key: Key): void {
    const idleAt = this.#idleAt.get(key);
    if (idleAt !== undefined) this.#idleAt.set(key, idleAt - this.#intervalMs);
  }

  #aheadMs(key: Key): number {
    return Math.max(0, (this.#idleAt.get(key) ?? 0) - this.#clock.monotonic());
  }
}
