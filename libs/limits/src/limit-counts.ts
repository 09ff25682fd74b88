import type { Labels } from '#platform/metrics.js';
import type { Charged } from './charge.js';
import type { RefusedBy } from './plan.js';

/** What is called lately. */
const LATELY_MS = 10_000;

/**
 * Jain's index of what merchants had: 1 where all had the same, 1/n where one of n had all of it. 1 where nobody had anything.
 */
export function fairnessOf(shares: Iterable<number>): number {
  let [count, sum, squares] = [0, 0, 0];
  for (const share of shares) {
    count += 1;
    sum += share;
    squares += share * share;
  }
  return squares === 0 ? 1 : (sum * sum) / (count * squares);
}

/** What requests came to since the process began, and how alike merchants fared lately. */
export class LimitCounts {
  readonly refusals: Record<RefusedBy, number> = { units: 0, in_flight: 0 };
  readonly #units = new Map<string, number>();
  #lately = new Map<bigint, number>();
  #fairness = 1;
  readonly #ticks = setInterval(() => this.tick(), LATELY_MS).unref();

  constructor(private readonly weightOf: (merchantId: bigint) => number) {}

  /** Of the last interval that has ended. */
  get fairness(): number {
    return this.#fairness;
  }

  add({ merchantId, byOperator, price, actual, refused }: Charged): void {
    if (refused !== undefined) this.refusals[refused] += 1;
    const key = `${price} ${byOperator ? 'operator' : 'merchant'}`;
    this.#units.set(key, (this.#units.get(key) ?? 0) + actual);
    if (merchantId !== undefined && !byOperator)
      this.#lately.set(merchantId, (this.#lately.get(merchantId) ?? 0) + actual);
  }

  *units(): Generator<[Labels, number]> {
    for (const [key, units] of this.#units) {
      const [price = '', by = ''] = key.split(' ');
      yield [{ price, by }, units];
    }
  }

  close(): void {
    clearInterval(this.#ticks);
  }

  /** An interval ends, and the next one begins. */
  tick(): void {
    const shares = [...this.#lately].map(([merchantId, units]) => units / this.weightOf(merchantId));
    this.#fairness = fairnessOf(shares);
    this.#lately = new Map();
  }
}
