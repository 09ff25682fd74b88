import type { Cost } from '#platform/cost.js';
import { type Announced, estimateOf, PRICES, type PriceName, unitsOf } from './prices.js';

/** Which limit of a merchant's plan a request was refused by. */
export type RefusedBy = 'units' | 'in_flight';

/** A request at its end, also one that was refused. */
export interface Charged {
  /** Whom it was for; undefined: the platform. */
  readonly merchantId: bigint | undefined;
  /** Operators are counted and never refused, also when they act for a merchant. */
  readonly byOperator: boolean;
  readonly method: string;
  /** The route's pattern. */
  readonly route: string;
  readonly price: PriceName;
  readonly estimated: number;
  /** 0 for one that was refused. */
  readonly actual: number;
  readonly refused: RefusedBy | undefined;
}

export interface Asking extends Announced {
  readonly merchantId: bigint | undefined;
  readonly byOperator: boolean;
  readonly method: string;
  readonly route: string;
  readonly price: PriceName;
  readonly cost: Cost;
}

/** What one request is charged, from its admission to its last byte. */
export class Charge {
  readonly estimated: number;
  readonly #asking: Asking;
  readonly #ended: (charged: Charged) => void;
  #refused: RefusedBy | undefined;
  #isOver = false;

  constructor(asking: Asking, ended: (charged: Charged) => void) {
    this.#asking = asking;
    this.#ended = ended;
    this.estimated = estimateOf(PRICES[asking.price], asking);
  }

  /** What it has come to so far. */
  get actual(): number {
    return this.#refused ? 0 : unitsOf(PRICES[this.#asking.price], this.#asking.cost);
  }

  /** Once, when the answer has gone, or its client. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { merchantId, byOperator, method, route, price } = this.#asking;
    const { estimated, actual } = this;
    this.#ended({ merchantId, byOperator, method, route, price, estimated, actual, refused: this.#refused });
  }
}
