import { Budget, type Taken } from './budget.js';
import type { Leases } from './leases.js';
import type { Plan, RefusedBy } from './plan.js';

/** A merchant that asked for nothing for so long is left: what it has in hand goes back. */
const IDLE_MS = 5_000;
/** A process that says nothing for so long is believed to be gone. What it has is told well before. */
export const PROCESS_TTL_MS = 15_000;
const TELL_MS = PROCESS_TTL_MS / 3;
/** Asked for again where somebody else was quicker, or the plan turned out to be another one. */
const TRIES = 3;

export interface BudgetsOptions {
  readonly defaults: Plan;
  readonly leaseMs: number;
  readonly planCacheMs: number;
  /** Monotonic. */
  readonly clock?: () => number;
}

/** Who finds the plans of merchants: tells `know` later. */
export type WantPlan = (merchantId: bigint) => void;

/** The budgets of the merchants that ask for something in this process. Without a client it has all of them to itself. */
export class Budgets {
  readonly #budgets = new Map<bigint, Budget>();
  readonly #clock: () => number;
  /** As many as shared the last budget that was heard of: for merchants that are heard of first while Redis is away. */
  #processes = 1;

  constructor(
    private readonly client: Leases | undefined,
    private readonly wantPlan: WantPlan,
    private readonly options: BudgetsOptions,
  ) {
    this.#clock = options.clock ?? (() => performance.now());
  }

  get nowMs(): number {
    return this.#clock();
  }

  get size(): number {
    return this.#budgets.size;
  }

  /** Whether Redis is to be asked at all. */
  get areShared(): boolean {
    return this.client !== undefined;
  }

  /** Whether shares are spent because Redis cannot be asked. */
  get isAway(): boolean {
    return this.client === undefined || this.client.isAway;
  }

  /** Units in hand in all. */
  get inHand(): number {
    let units = 0;
    for (const { inHand } of this.#budgets.values()) units += Math.max(0, inHand);
    return units;
  }

  /** As last known. */
  planOf(merchantId: bigint): Plan {
    return this.#budgets.get(merchantId)?.plan ?? this.options.defaults;
  }

  of(merchantId: bigint, nowMs: number): Budget {
    let budget = this.#budgets.get(merchantId);
    if (!budget) {
      const { defaults: plan, leaseMs } = this.options;
      budget = new Budget(merchantId, { plan, nowMs, leaseMs, processes: this.#processes });
      this.#budgets.set(merchantId, budget);
    }
    if (nowMs - budget.planAtMs >= this.options.planCacheMs) this.wantPlan(merchantId);
    return budget;
  }

  /** What a merchant's plan was found to be at that time. */
  know(merchantId: bigint, plan: Plan | undefined, atMs: number): void {
    const budget = this.#budgets.get(merchantId);
    if (budget?.know(plan ?? this.options.defaults, atMs)) this.#renew(budget);
  }

  /** What a request is estimated at is taken, at once where it is in hand; a promise only where Redis has to be asked first. */
  take(budget: Budget, units: number, nowMs: number): Taken | RefusedBy | Promise<Taken | RefusedBy> {
    const { isAway } = this;
    const taken = budget.take(units, nowMs, isAway);
    if (isAway || (typeof taken === 'object' && budget.wantsMore(nowMs))) this.#renew(budget);
    if (isAway || typeof taken === 'object' || !this.#mayWait(budget, units, taken, nowMs)) return taken;
    return this.#wait(budget, units);
  }

  /** Tells Redis what has been spent, and takes what is needed next. */
  #renew(budget: Budget): void {
    if (budget.asking !== undefined || !this.client?.mayAsk) return;
    budget.asking = this.#ask(budget, false).then(() => {
      budget.asking = undefined;
    });
  }

  #mayWait(budget: Budget, units: number, lacking: RefusedBy, nowMs: number): boolean {
    return budget.asking !== undefined ? budget.waitMs(units, nowMs) === 0 : budget.mayBeGiven(units, lacking, nowMs);
  }

  /** Whoever waits for one merchant shares the call, and is served in the order of arrival. */
  async #wait(budget: Budget, units: number): Promise<Taken | RefusedBy> {
    const done = budget.await(units);
    try {
      for (let attempt = 1; ; attempt += 1) {
        this.#renew(budget);
        await budget.asking;
        const taken = budget.take(units, this.#clock(), this.isAway);
        if (typeof taken === 'object' || attempt === TRIES || this.isAway) return taken;
        if (!budget.mayBeGiven(units, taken, this.#clock())) return taken;
      }
    } finally {
      done();
    }
  }

  async #ask(budget: Budget, leaves: boolean): Promise<boolean> {
    const call = budget.ask(this.#clock(), leaves);
    try {
      const reply = await (this.client as Leases).call(call);
      budget.answered(reply, call, this.#clock());
      this.#processes = reply.processes;
      return true;
    } catch {
      return false;
    }
  }

  /** Tells of merchants that ask for little, and leaves those that ask for nothing. */
  async sweep(): Promise<void> {
    const nowMs = this.#clock();
    const calls: Promise<void>[] = [];
    for (const budget of this.#budgets.values()) {
      if (budget.asking !== undefined) continue;
      const isIdle = budget.inFlight === 0 && nowMs - budget.usedMs >= IDLE_MS;
      if (isIdle) calls.push(this.#leave(budget));
      else if (budget.inHand < 0 || nowMs - budget.lastAnswerMs >= TELL_MS) this.#renew(budget);
    }
    await Promise.all(calls);
  }

  /** All that is in hand goes back. */
  async close(): Promise<void> {
    await Promise.all([...this.#budgets.values()].map(({ asking }) => asking));
    await Promise.all([...this.#budgets.values()].map((budget) => this.#leave(budget)));
    this.client?.close();
  }

  /**
   * One that could not be left is kept for as long as it matters: until its budget is whole whatever was spent of it. So is one that Redis
   * had lost: it may lose it again, and nobody would know what was spent.
   */
  async #leave(budget: Budget): Promise<void> {
    const { usedMs } = budget;
    if (this.client?.mayAsk) {
      const leaving = this.#ask(budget, true);
      budget.asking = leaving.then(() => {
        budget.asking = undefined;
      });
      if ((await leaving) && !budget.isPart && budget.usedMs === usedMs) return this.#forget(budget);
    }
    const { burstUnits, unitsPerSecond } = budget.plan;
    const isWhole = this.#clock() - usedMs >= (burstUnits * 1_000) / unitsPerSecond;
    if (budget.usedMs === usedMs && isWhole) this.#forget(budget);
  }

  #forget(budget: Budget): void {
    if (this.#budgets.get(budget.merchantId) === budget) this.#budgets.delete(budget.merchantId);
  }
}
