import type { Charged } from '../charge.js';

const HOUR_MS = 3_600_000;
/** Sums that may wait to be written. While PostgreSQL is away hardly a request is served, so that hardly one is added. */
const MOST_SUMS = 50_000;

/** What a merchant's requests of one price came to in an hour. */
export interface UsageSum {
  readonly merchantId: bigint;
  readonly hourMs: number;
  readonly price: string;
  readonly byOperator: boolean;
  requests: number;
  units: number;
  refused: number;
}

/** Adds up what is charged, until somebody takes the sums to write them. */
export class UsageSums {
  readonly #sums = new Map<string, UsageSum>();
  readonly #most: number;
  #uncounted = 0;

  constructor(most = MOST_SUMS) {
    this.#most = most;
  }

  get size(): number {
    return this.#sums.size;
  }

  /** Requests for which there was no room. */
  get uncounted(): number {
    return this.#uncounted;
  }

  add({ merchantId, byOperator, price, actual, refused }: Charged, nowMs: number): void {
    if (merchantId === undefined) return;
    const hourMs = nowMs - (nowMs % HOUR_MS);
    const key = `${merchantId} ${hourMs} ${price} ${byOperator}`;
    const sum = this.#sums.get(key) ?? { merchantId, hourMs, price, byOperator, requests: 0, units: 0, refused: 0 };
    sum.units += actual;
    if (refused === undefined) sum.requests += 1;
    else sum.refused += 1;
    if (this.#sums.size < this.#most || this.#sums.has(key)) this.#sums.set(key, sum);
    else this.#uncounted += 1;
  }

  /** At most so many, those that came first. They are gone from here. */
  take(most: number): UsageSum[] {
    const taken: UsageSum[] = [];
    for (const [key, sum] of this.#sums) {
      if (taken.length === most) break;
      taken.push(sum);
      this.#sums.delete(key);
    }
    return taken;
  }
}
