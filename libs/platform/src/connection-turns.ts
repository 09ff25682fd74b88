import type { Deadline } from './deadline.js';
import { FairQueue } from './fair-queue.js';

/** Whose connections are counted together: a merchant's, or what the platform does for all of them. */
export type Holder = bigint | 'platform';

export interface ConnectionTurnsOptions {
  /** Connections in all. */
  size: number;
  /** Those that one merchant may have at once. */
  perMerchant: number;
  /** A merchant's share among those that wait. */
  weightOf: (merchantId: bigint) => number;
}

/** What the platform does, such as to find a key's merchant, is done for many merchants. */
const PLATFORM_WEIGHT = 16;

/** Who may have a connection next. Merchants that wait have their turn one after the other, and none has all of them at once. */
export class ConnectionTurns {
  readonly #options: ConnectionTurnsOptions;
  readonly #waiting: FairQueue<Holder, PromiseWithResolvers<void>>;
  readonly #inUse = new Map<bigint, number>();
  #free: number;

  constructor(options: ConnectionTurnsOptions) {
    this.#options = options;
    this.#free = options.size;
    this.#waiting = new FairQueue({
      weightOf: (holder) => (holder === 'platform' ? PLATFORM_WEIGHT : options.weightOf(holder)),
    });
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether there was one at once; whoever got one calls `leave`. */
  tryEnter(holder: Holder): boolean {
    // Where one is free nobody waits but for the merchant's own.
    if (this.#free === 0 || this.#waiting.isHeld(holder)) return false;
    this.#enter(holder);
    return true;
  }

  /** Waits for its turn. Rejects at the deadline, and waits no longer then. */
  async enter(holder: Holder, deadline: Deadline, onExpiry: () => Error): Promise<void> {
    if (this.tryEnter(holder)) return;
    const turn = Promise.withResolvers<void>();
    const place = this.#waiting.push(holder, turn);
    try {
      await deadline.race(turn.promise, onExpiry);
    } catch (error) {
      // It came at the same moment.
      if (place && !this.#waiting.remove(place)) this.leave(holder);
      throw error;
    }
  }

  leave(holder: Holder): void {
    this.#free += 1;
    if (holder !== 'platform') this.#count(holder, -1);
    while (this.#free > 0) {
      const next = this.#waiting.peek();
      if (!next) return;
      this.#waiting.take();
      this.#enter(next.key);
      next.item.resolve();
    }
  }

  #enter(holder: Holder): void {
    this.#free -= 1;
    if (holder !== 'platform') this.#count(holder, 1);
  }

  #count(merchantId: bigint, by: 1 | -1): void {
    const count = (this.#inUse.get(merchantId) ?? 0) + by;
    if (count === 0) this.#inUse.delete(merchantId);
    else this.#inUse.set(merchantId, count);
    if (count >= this.#options.perMerchant) this.#waiting.hold(merchantId);
    else this.#waiting.release(merchantId);
  }
}
