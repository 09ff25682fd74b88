import { setTimeout as sleep } from 'node:timers/promises';
import { ProblemError } from '#kernel/problem.js';
import type { Cost } from '#platform/cost.js';
import type { Budget, Taken } from './budget.js';
import type { RefusedBy } from './plan.js';
import { type Announced, estimateOf, PRICES, type Price, type PriceName, unitsOf } from './prices.js';
import { limitOf } from './rate-limit-headers.js';

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
  /** Served however little its merchant has left, unless that is a debt. */
  readonly isAhead?: boolean;
}

/** Most that a stream waits before it looks again whether its merchant has units. */
const LONGEST_PAUSE_MS = 1_000;
const SHORTEST_PAUSE_MS = 10;

/** What one request is charged, from its admission to its last byte. */
export class Charge {
  readonly estimated: number;
  #taken: Taken | undefined;
  #flight = 0;
  #refused: RefusedBy | undefined;
  #isOver = false;
  #price: Price;

  constructor(
    private readonly asking: Asking,
    /** Undefined: of an operator, who is counted alone. */
    readonly budget: Budget | undefined,
    private readonly parts: { clock: () => number; ended: (charged: Charged) => void },
  ) {
    this.#price = PRICES[asking.price];
    this.estimated = asking.isAhead ? 0 : estimateOf(this.#price, asking);
  }

  /** What came of asking its budget for what it is estimated at. */
  admitted(taken: Taken | RefusedBy): this {
    if (typeof taken === 'object') {
      this.#taken = taken;
      this.#flight = taken.flight;
    } else {
      this.#refused = taken;
    }
    return this;
  }

  /** What it has come to so far. */
  get actual(): number {
    return this.#refused ? 0 : unitsOf(this.#price, this.asking.cost);
  }

  /** Whole seconds; undefined where it was not refused. */
  get retryAfterS(): number | undefined {
    if (!this.#refused || !this.budget) return undefined;
    const waitMs = this.#refused === 'units' ? this.budget.waitMs(this.estimated, this.parts.clock()) : 0;
    return Math.max(1, Math.ceil(waitMs / 1_000));
  }

  /** What its caller is told; undefined where it was not refused. */
  refusal(): ProblemError | undefined {
    const { retryAfterS, budget } = this;
    if (retryAfterS === undefined || !budget) return undefined;
    const { unitsPerSecond, unitsInFlight } = budget.plan;
    const lacking = this.asking.isAhead
      ? 'owes some'
      : `this request is estimated at ${this.estimated}, more than are left`;
    const detail =
      this.#refused === 'units'
        ? `The merchant has ${unitsPerSecond} units a second, and ${lacking}.`
        : `The merchant may have ${unitsInFlight} units in flight, and this request is estimated at ${this.estimated}; wait for the answers of others.`;
    return new ProblemError('rate_limited', detail, { retryAfterS });
  }

  /** As `RateLimit` tells it; undefined: an operator's, who has none. */
  get limit(): string | undefined {
    const { budget, retryAfterS } = this;
    if (!budget) return undefined;
    const { plan, inFlight } = budget;
    return limitOf(plan, { available: budget.available(this.parts.clock()), inFlight, retryAfterS });
  }

  /** Its merchant pays now for what it has come to so far: for what lasts. */
  settle(): void {
    if (this.#taken && !this.#isOver) this.budget?.settle(this.#taken, this.actual);
  }

  /** It is served no more and only waits, or tells what there is: others may be. */
  rest(): void {
    this.budget?.land(this.#flight);
    this.#flight = 0;
  }

  /** Resolves once its merchant is not in debt, or when the signal comes. */
  async outOfDebt(signal: AbortSignal): Promise<void> {
    const { budget } = this;
    while (budget && this.#taken && !signal.aborted && budget.available(this.parts.clock()) < 0) {
      const waitMs = Math.max(SHORTEST_PAUSE_MS, budget.waitMs(1, this.parts.clock()));
      await sleep(Math.min(LONGEST_PAUSE_MS, waitMs), undefined, { signal }).catch(() => undefined);
    }
  }

  /** It was refused as it stands, and nothing was done for it. */
  turnBack(): void {
    this.#price = { ...this.#price, base: Math.min(this.#price.base, PRICES.open.base) };
  }

  /** Once, when the answer has gone, or its client. */
  end(): void {
    if (this.#isOver) return;
    this.settle();
    this.rest();
    this.#isOver = true;
    const { merchantId, byOperator, method, route, price } = this.asking;
    const { estimated, actual } = this;
    this.parts.ended({ merchantId, byOperator, method, route, price, estimated, actual, refused: this.#refused });
  }
}
