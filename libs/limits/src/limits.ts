import type { Database } from '#platform/postgres.js';
import type { Budget } from './budget.js';
import { Budgets, type BudgetsOptions } from './budgets.js';
import { type Asking, Charge, type Charged } from './charge.js';
import type { Leases } from './leases.js';
import type { Plan } from './plan.js';
import { Plans } from './plans.js';

const SWEEP_MS = 1_000;

/** What every request of a key is charged by, and whether its merchant may have it, in one place. */
export class Limits {
  readonly #listeners: ((charged: Charged) => void)[] = [];
  readonly #parts: { clock: () => number; ended: (charged: Charged) => void };
  readonly #sweep: NodeJS.Timeout;

  private constructor(
    readonly budgets: Budgets,
    private readonly plans: Plans,
    /** Of merchants that have no limits of their own. */
    readonly defaults: Plan,
  ) {
    this.#sweep = setInterval(() => void budgets.sweep(), SWEEP_MS).unref();
    this.#parts = {
      clock: () => budgets.nowMs,
      ended: (charged) => {
        for (const listener of this.#listeners) listener(charged);
      },
    };
  }

  static open(database: Database, client: Leases | undefined, options: BudgetsOptions): Limits {
    const plans = new Plans(database, (merchantId, plan, atMs) => budgets.know(merchantId, plan, atMs));
    const budgets = new Budgets(client, (merchantId) => plans.want(merchantId), options);
    return new Limits(budgets, plans, options.defaults);
  }

  /** Calls back with each request of a key, at its end. Of a refused one, too. */
  onCharged(listener: (charged: Charged) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * The request begins, or is refused: see `refusal()`. End its charge in either case, when its answer has gone. A promise only where
   * Redis has to be asked.
   */
  begin(asking: Asking, nowMs: number): Charge | Promise<Charge> {
    const { merchantId, byOperator } = asking;
    if (merchantId === undefined || byOperator) return new Charge(asking, undefined, this.#parts);
    return this.#take(asking, this.budgets.of(merchantId, nowMs), nowMs);
  }

  /** A merchant's plan has been changed; undefined: it has that of everybody. */
  changed(merchantId: bigint, plan: Plan | undefined): void {
    this.budgets.know(merchantId, plan, this.budgets.nowMs);
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    await this.plans.close();
    await this.budgets.close();
  }

  #take(asking: Asking, budget: Budget, nowMs: number): Charge | Promise<Charge> {
    const charge = new Charge(asking, budget, this.#parts);
    const taken = this.budgets.take(budget, charge.estimated, nowMs);
    return taken instanceof Promise ? taken.then((one) => charge.admitted(one)) : charge.admitted(taken);
  }
}
