import { Redis } from 'ioredis';
import type { Budget, Taken } from '#limits/budget.js';
import { Budgets, PROCESS_TTL_MS } from '#limits/budgets.js';
import { LeaseClient } from '#limits/lease-client.js';
import { leaseScript } from '#limits/lease-script.js';
import type { LeaseCall, LeaseReply, Leases } from '#limits/leases.js';
import type { Plan } from '#limits/plan.js';
import { type PrivateRedis, privateRedis } from './redis.js';

/** The time that Redis goes by. */
const CLOCK = `local function clock() return tonumber(redis.call('GET', 'clock')) end
`;
const T0 = Date.UTC(2100, 0, 1);
export const MERCHANT = 7n;
const KEY = `limits:{${MERCHANT}}`;
/** What the first request of a process may have in flight before it has asked. */
export const CREDIT = 64;

export type Fault = 'question lost' | 'answer lost' | undefined;

/** Asks the real Redis, over a network that loses what it is told to lose. */
class FaultyLeases implements Leases {
  static count = 0;
  readonly name: string;
  fault: Fault;
  isAway = false;
  mayAsk = true;
  /** What its process has heard last, and when by its clock. */
  heard: { reply: LeaseReply; atMs: number } | undefined;
  /** Of what was spent on shares, as Redis last had it. */
  told = 0;
  readonly #client: LeaseClient;
  #isClosed = false;

  constructor(
    url: string,
    private readonly clock: () => number,
  ) {
    FaultyLeases.count += 1;
    this.name = `p${FaultyLeases.count}`;
    const options = { url, timeoutMs: 20_000, ttlMs: PROCESS_TTL_MS, script: leaseScript(CLOCK) };
    this.#client = new LeaseClient({ ...options, process: this.name });
  }

  async call(call: LeaseCall): Promise<LeaseReply> {
    try {
      if (this.fault === 'question lost') throw new Error(this.fault);
      const reply = await this.#answered(call);
      this.told = reply.told;
      if (this.fault === 'answer lost') throw new Error(this.fault);
      this.isAway = false;
      this.heard = { reply, atMs: this.clock() };
      return reply;
    } catch (error) {
      this.isAway = true;
      throw error;
    }
  }

  /** Its connection may be young: then nothing has been sent. */
  async #answered(call: LeaseCall): Promise<LeaseReply> {
    while (!this.#isClosed) {
      try {
        return await this.#client.call(call);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    throw new Error('closed');
  }

  close(): void {
    this.#isClosed = true;
    this.#client.close();
  }
}

/** A process of the API, as far as budgets are concerned. */
export class TestProcess {
  leases: FaultyLeases;
  budgets: Budgets;
  readonly running: { taken: Taken; units: number }[] = [];
  /** By how much its clock has fallen behind: a monotonic one stands while its machine is suspended. */
  suspendedMs = 0;
  /** What it had in flight when it was believed dead, and has still. */
  flightUnknown = 0;
  #bornMs = 0;

  constructor(private readonly world: BudgetWorld) {
    [this.leases, this.budgets] = this.#begin();
  }

  #begin(): [FaultyLeases, Budgets] {
    this.#bornMs = this.nowMs;
    const leases = new FaultyLeases(this.world.url, () => this.nowMs);
    const options = { defaults: this.world.plan, leaseMs: 100, planCacheMs: 60_000, clock: () => this.nowMs };
    const budgets = new Budgets(leases, () => this.know(), options);
    return [leases, budgets];
  }

  get nowMs(): number {
    return this.world.nowMs - this.suspendedMs;
  }

  get budget(): Budget {
    return this.budgets.of(MERCHANT, this.nowMs);
  }

  /** Looks the merchant's plan up. */
  know(): void {
    this.budgets.know(MERCHANT, this.world.plan, this.nowMs);
  }

  /** Units that were spent on shares and that Redis has not been told of. */
  get untold(): number {
    return this.budget.shared - this.leases.told;
  }

  /** The level as it is supposed here, what there was no room for included. */
  get view(): number {
    const { heard } = this.leases;
    const { burstUnits, unitsPerSecond } = this.world.plan;
    const level = heard ? heard.reply.level + heard.reply.over : burstUnits;
    return level + ((this.nowMs - (heard?.atMs ?? this.#bornMs)) * unitsPerSecond) / 1_000;
  }

  /** What is taken of the merchant's units; 0 where it is refused. */
  async request(units: number, actual: number): Promise<number> {
    const taken = await this.budgets.take(this.budget, units, this.nowMs);
    await this.budget.asking;
    if (typeof taken !== 'object') return 0;
    this.running.push({ taken, units: actual });
    return units;
  }

  /** What the oldest request costs more than was taken. */
  finish(): number {
    const done = this.running.shift();
    if (!done) return 0;
    const more = done.units - done.taken.units;
    this.budget.settle(done.taken, done.units);
    this.budget.land(done.taken.flight);
    return more;
  }

  /** What it owes and has not told is lost when it forgets its merchant: that much. */
  async sweep(): Promise<number> {
    const before = this.budget;
    await this.budgets.sweep();
    await before.asking;
    if (this.budget === before) return 0;
    const lost = Math.max(0, -before.inHand) + before.shared - this.leases.told;
    this.leases.told = 0;
    this.leases.heard = undefined;
    this.#bornMs = this.nowMs;
    return lost;
  }

  /** What it owes and has not told is lost with it: that much. */
  crash(): number {
    const lost = Math.max(0, -this.budget.inHand) + this.untold;
    this.leases.close();
    [this.leases, this.budgets] = this.#begin();
    this.running.splice(0);
    return lost;
  }

  async end(): Promise<void> {
    this.leases.close();
    await this.budget.asking;
  }
}

/** Some processes, one Redis, one merchant, and what its budget can have given. */
export class BudgetWorld {
  nowMs = T0;
  plan: Plan;
  readonly processes: TestProcess[] = [];
  /** What the merchant has used. */
  spent = 0;
  /** What its budget has had room for since the world began. */
  ever: number;
  /** What crashes, and the bound of a debt, have forgiven; and what an empty Redis was told too much of. */
  forgiven = 0;
  /** Units that may be in flight; more where they were when their limit was lowered. */
  mostInFlight: number;
  #redisLeadMs = 0;

  private constructor(
    readonly url: string,
    private readonly redis: Redis,
    plan: Plan,
  ) {
    this.plan = plan;
    this.ever = plan.burstUnits;
    this.mostInFlight = plan.unitsInFlight;
  }

  static async begin(server: PrivateRedis, redis: Redis, { plan, count }: { plan: Plan; count: number }) {
    await redis.flushall();
    const world = new BudgetWorld(server.url, redis, plan);
    await world.tick(0);
    for (let one = 0; one < count; one += 1) world.processes.push(new TestProcess(world));
    return world;
  }

  process(index: number): TestProcess {
    return this.processes[index] as TestProcess;
  }

  async tick(ms: number): Promise<void> {
    this.nowMs += ms;
    this.ever += (ms * this.plan.unitsPerSecond) / 1_000;
    await this.redis.set('clock', this.nowMs + this.#redisLeadMs);
  }

  /** Somebody sets the clock of Redis' machine. */
  async jump(ms: number): Promise<void> {
    this.#redisLeadMs += ms;
    this.ever += (Math.max(0, ms) * this.plan.unitsPerSecond) / 1_000;
    await this.tick(0);
  }

  /** One machine is suspended while the others go on. */
  async suspend(index: number, ms: number): Promise<void> {
    this.process(index).suspendedMs += ms;
    await this.tick(ms);
  }

  /** Everybody learns it at once. Where Redis knows nothing yet, it holds from the beginning. */
  async change(plan: Plan): Promise<void> {
    const isBeginning = (await this.redis.exists(KEY)) === 0;
    const before = await this.left();
    this.plan = plan;
    if (isBeginning) this.forgiven += Math.max(0, (await this.left()) - before);
    for (const one of this.processes) one.know();
    for (const one of this.processes) await one.budget.asking;
    this.mostInFlight = Math.max(plan.unitsInFlight, Math.min(this.mostInFlight, this.inFlight));
  }

  async request(index: number, units: number, actual = units): Promise<number> {
    const taken = await this.process(index).request(units, actual);
    this.spent += taken;
    return taken;
  }

  finish(index: number): void {
    this.spent += this.process(index).finish();
  }

  async crash(index: number): Promise<void> {
    const before = await this.left();
    this.forgiven += this.process(index).crash();
    await this.#forgive(before);
  }

  async sweep(index: number): Promise<void> {
    const before = await this.left();
    this.forgiven += await this.process(index).sweep();
    await this.#forgive(before);
  }

  /** Where Redis knows nothing, less may be known than before. */
  async #forgive(before: number): Promise<void> {
    if ((await this.redis.exists(KEY)) === 0) this.forgiven += Math.max(0, (await this.left()) - before);
  }

  /** Redis is there again, without its data: what is left is what somebody believes. */
  async empty(): Promise<void> {
    const before = await this.left();
    await this.redis.flushall();
    await this.tick(0);
    await this.#forgive(before);
  }

  /** Units that are left in Redis, those that there was no room for included; by who believes most where it knows nothing. */
  async left(): Promise<number> {
    const [level, over, at, rate] = await this.redis.hmget(KEY, 'level', 'over', 'at', 'rate');
    if (typeof level !== 'string') return Math.max(...this.processes.map(({ view }) => view));
    const passedMs = Math.max(0, this.nowMs + this.#redisLeadMs - Number(at));
    return Number(level) + Number(over) + (passedMs * Number(rate)) / 1_000;
  }

  /** Of those, what is there to be given. */
  async level(): Promise<number> {
    return Number(await this.redis.hget(KEY, 'level'));
  }

  get inHand(): number {
    return this.processes.reduce((sum, { budget }) => sum + budget.inHand, 0);
  }

  get inFlight(): number {
    return this.processes.reduce((sum, { budget }) => sum + budget.inFlight, 0);
  }

  get untold(): number {
    return this.processes.reduce((sum, { untold }) => sum + untold, 0);
  }

  /** What has been spent, or can be without more refill, beyond all that the budget ever had: never above 0. */
  async excess(): Promise<number> {
    const level = await this.level();
    const excess = this.spent - this.untold + this.inHand + (await this.left()) - this.ever - this.forgiven;
    // What is spent on shares is a debt of one burst at most.
    if (level !== -this.plan.burstUnits) return excess;
    this.forgiven += Math.max(0, excess);
    return Math.min(0, excess);
  }

  /** Units in flight beyond what may be, other than those of who was believed dead: never above 0. */
  async excessInFlight(): Promise<number> {
    let unknown = 0;
    for (const one of this.processes) {
      const { inFlight } = one.budget;
      const until = (await this.redis.hget(KEY, `p:${one.leases.name}`))?.split(' ')[3];
      const isKnown = until !== undefined && Number(until) > this.nowMs + this.#redisLeadMs;
      one.flightUnknown = isKnown ? Math.min(one.flightUnknown, inFlight) : inFlight;
      unknown += one.flightUnknown;
    }
    this.mostInFlight = Math.max(this.plan.unitsInFlight, Math.min(this.mostInFlight, this.inFlight));
    return this.inFlight - unknown - this.mostInFlight - this.processes.length * CREDIT;
  }

  async end(): Promise<void> {
    await Promise.all(this.processes.map((one) => one.end()));
  }
}

/** A Redis for worlds, one after another. */
export async function budgetWorlds(): Promise<{
  within: (options: { plan: Plan; count: number }, work: (world: BudgetWorld) => Promise<void>) => Promise<void>;
  stop: () => Promise<void>;
}> {
  const server = await privateRedis();
  const redis = new Redis(server.url);
  return {
    within: async (options, work) => {
      const world = await BudgetWorld.begin(server, redis, options);
      try {
        await work(world);
      } finally {
        await world.end();
      }
    },
    stop: async () => {
      redis.disconnect();
      await server.stop();
    },
  };
}
