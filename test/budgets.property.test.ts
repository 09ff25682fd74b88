import fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Taken } from '#limits/budget.js';
import { Budgets, PROCESS_TTL_MS } from '#limits/budgets.js';
import { LeaseClient } from '#limits/lease-client.js';
import { leaseScript } from '#limits/lease-script.js';
import type { LeaseCall, LeaseReply, Leases } from '#limits/leases.js';
import type { Plan } from '#limits/plan.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { SEED } from './support/seed.js';

/** The time that Redis and both processes go by. */
const CLOCK = `local function clock() return tonumber(redis.call('GET', 'clock')) end
`;
const T0 = Date.UTC(2100, 0, 1);
const MERCHANT = 7n;
const PLAN: Plan = { unitsPerSecond: 200, burstUnits: 400, unitsInFlight: 300, weight: 1 };
const RUNS = { numRuns: 60, seed: SEED };

let server: PrivateRedis;
let redis: Redis;
beforeAll(async () => {
  server = await privateRedis();
  redis = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

let nowMs = T0;
async function tick(ms: number): Promise<void> {
  nowMs += ms;
  await redis.set('clock', nowMs);
}
beforeEach(() => tick(0));

type Fault = 'question lost' | 'answer lost';

/** Asks the real Redis, over a network that loses what it is told to lose. */
class FaultyLeases implements Leases {
  static count = 0;
  fault: Fault | undefined;
  isAway = false;
  readonly mayAsk = true;
  readonly #client: LeaseClient;
  #isClosed = false;

  constructor() {
    FaultyLeases.count += 1;
    const options = { url: server.url, timeoutMs: 20_000, ttlMs: PROCESS_TTL_MS, script: leaseScript(CLOCK) };
    this.#client = new LeaseClient({ ...options, process: `p${FaultyLeases.count}` });
  }

  async call(call: LeaseCall): Promise<LeaseReply> {
    try {
      if (this.fault === 'question lost') throw new Error(this.fault);
      const reply = await this.#answered(call);
      if (this.fault === 'answer lost') throw new Error(this.fault);
      this.isAway = false;
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

class TestProcess {
  leases = new FaultyLeases();
  budgets = this.#begin();
  readonly running: { taken: Taken; units: number }[] = [];

  #begin(): Budgets {
    const options = { defaults: PLAN, leaseMs: 100, planCacheMs: 60_000, clock: () => nowMs };
    return new Budgets(this.leases, (merchantId) => this.budgets.know(merchantId, undefined, nowMs), options);
  }

  get budget() {
    return this.budgets.of(MERCHANT, nowMs);
  }

  /** What is taken of the merchant's units; 0 where it is refused. */
  async request(units: number, actual: number): Promise<number> {
    const taken = await this.budgets.take(this.budget, units, nowMs);
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

  /** What is owed and was never told is lost with it: that much. */
  crash(): number {
    const untold = Math.max(0, -this.budget.inHand);
    this.leases.close();
    this.leases = new FaultyLeases();
    this.budgets = this.#begin();
    this.running.splice(0);
    return untold;
  }

  async end(): Promise<void> {
    this.leases.close();
    await this.budget.asking;
  }
}

/** What Redis says is left. */
async function level(): Promise<number> {
  const [left, at] = await redis.hmget(`limits:{${MERCHANT}}`, 'level', 'at');
  if (left === null) return PLAN.burstUnits;
  return Math.min(PLAN.burstUnits, Number(left) + ((nowMs - Number(at)) * PLAN.unitsPerSecond) / 1_000);
}

async function within(work: (processes: [TestProcess, TestProcess]) => Promise<void>): Promise<void> {
  await redis.flushall();
  await tick(0);
  const processes: [TestProcess, TestProcess] = [new TestProcess(), new TestProcess()];
  try {
    await work(processes);
  } finally {
    await Promise.all(processes.map((one) => one.end()));
  }
}

const which = fc.integer({ min: 0, max: 1 });
const units = fc.integer({ min: 1, max: 120 });
const asked = fc.record({
  kind: fc.constant('request' as const),
  which,
  units,
  actual: fc.integer({ min: 0, max: 200 }),
});
const ended = fc.record({ kind: fc.constant('finish' as const), which });
const passed = fc.record({ kind: fc.constant('tick' as const), ms: fc.integer({ min: 0, max: 3_000 }) });
const swept = fc.record({ kind: fc.constant('sweep' as const), which });
const crashed = fc.record({ kind: fc.constant('crash' as const), which });
const steps = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: asked },
    { weight: 6, arbitrary: ended },
    { weight: 4, arbitrary: passed },
    { weight: 1, arbitrary: swept },
    { weight: 1, arbitrary: crashed },
  ),
  { minLength: 10, maxLength: 60 },
);
type Step = typeof steps extends fc.Arbitrary<(infer One)[]> ? One : never;

/** Units that the step has cost, and that a crash has forgiven. */
async function take(step: Step, processes: readonly TestProcess[]): Promise<{ cost: number; forgiven: number }> {
  if (step.kind === 'tick') await tick(step.ms);
  const one = processes[step.kind === 'tick' ? 0 : step.which] as TestProcess;
  if (step.kind === 'request') return { cost: await one.request(step.units, step.actual), forgiven: 0 };
  if (step.kind === 'finish') return { cost: one.finish(), forgiven: 0 };
  if (step.kind === 'crash') return { cost: 0, forgiven: one.crash() };
  if (step.kind === 'sweep') await one.budgets.sweep();
  return { cost: 0, forgiven: 0 };
}

test('two processes never spend more than a budget has, whatever crashes', async () => {
  await fc.assert(
    fc.asyncProperty(steps, (taken) =>
      within(async (processes) => {
        const beganMs = nowMs;
        let spent = 0;
        let forgiven = 0;
        for (const step of taken) {
          const { cost, forgiven: lost } = await take(step, processes);
          spent += cost;
          forgiven += lost;
          const inHand = processes.reduce((sum, { budget }) => sum + budget.inHand, 0);
          const ever = PLAN.burstUnits + ((nowMs - beganMs) * PLAN.unitsPerSecond) / 1_000;
          expect(spent + inHand + (await level())).toBeLessThanOrEqual(ever + forgiven + 1e-6);
          const inFlight = processes.reduce((sum, { budget }) => sum + budget.inFlight, 0);
          // The first request of a process is served before it has asked.
          expect(inFlight).toBeLessThanOrEqual(PLAN.unitsInFlight + 2 * 64);
        }
      }),
    ),
    RUNS,
  );
});

test('nor when questions and answers are lost, beyond the shares that are spent meanwhile', async () => {
  const fault = fc.record({
    kind: fc.constant('fault' as const),
    which,
    fault: fc.constantFrom<Fault | undefined>('question lost', 'answer lost', undefined, undefined),
  });
  const some = fc.array(
    fc.oneof(
      { weight: 10, arbitrary: asked },
      { weight: 6, arbitrary: ended },
      { weight: 3, arbitrary: passed },
      { weight: 3, arbitrary: fault },
    ),
    { minLength: 10, maxLength: 60 },
  );
  await fc.assert(
    fc.asyncProperty(some, (taken) =>
      within(async (processes) => {
        const beganMs = nowMs;
        let spent = 0;
        let shared = 0;
        for (const step of taken) {
          if (step.kind === 'fault') {
            (processes[step.which] as TestProcess).leases.fault = step.fault;
            continue;
          }
          const before = processes.reduce((sum, { budget }) => sum + budget.shared, 0);
          spent += (await take(step, processes)).cost;
          shared += Math.abs(processes.reduce((sum, { budget }) => sum + budget.shared, 0) - before);
          const ever = PLAN.burstUnits + ((nowMs - beganMs) * PLAN.unitsPerSecond) / 1_000;
          const inHand = processes.reduce((sum, { budget }) => sum + Math.min(0, budget.inHand), 0);
          expect(spent + inHand + Math.min(0, await level())).toBeLessThanOrEqual(ever + shared + 1e-6);
        }
      }),
    ),
    RUNS,
  );
});

const heavy = fc.integer({ min: 40, max: 120 });

test('while Redis is gone both together spend no more than there is, and afterwards there is no second burst', async () => {
  const pairs = fc.array(fc.record({ one: heavy, other: heavy, ms: fc.integer({ min: 0, max: 20 }) }), {
    minLength: 5,
    maxLength: 25,
  });
  await fc.assert(
    fc.asyncProperty(pairs, fc.boolean(), (rounds, isEmptyThen) =>
      within(async (processes) => {
        let spent = 0;
        const round = async (one: number, other: number) => {
          for (const [index, process] of processes.entries()) {
            const some = index === 0 ? one : other;
            spent += await process.request(some, some);
            spent += process.finish();
          }
        };
        // Each learns that there are two.
        for (let turn = 0; turn < 3; turn += 1) {
          await round(1, 1);
          for (const process of processes) await process.budgets.sweep();
          await tick(PROCESS_TTL_MS / 3);
        }
        const beganMs = nowMs;
        spent = 0;
        await round(100, 100);
        for (const { leases } of processes) leases.fault = 'question lost';
        for (const { one, other, ms } of rounds) {
          await tick(ms);
          await round(one, other);
        }
        if (isEmptyThen) await redis.flushall();
        for (const { leases } of processes) leases.fault = undefined;
        await tick(0);
        for (const { one, other } of rounds) await round(one, other);
        // Beside a few in hand: Redis learns what the one has spent on its share, at most half, after the other has asked.
        const ever = PLAN.burstUnits * 1.5 + 20 + ((nowMs - beganMs) * PLAN.unitsPerSecond) / 1_000;
        expect(spent).toBeLessThanOrEqual(ever);
        expect(processes.map(({ budgets }) => budgets.isAway)).toEqual([false, false]);
      }),
    ),
    RUNS,
  );
});

test('what a process has in hand goes back when it ends, and is lost for no longer than a refill when it crashes', async () => {
  await within(async ([one, other]) => {
    for (const process of [one, other]) {
      await process.request(100, 100);
      process.finish();
    }
    expect(one.budget.inHand).toBeGreaterThan(0);
    const left = (await level()) + one.budget.inHand;
    const others = other.budget.inHand;
    await one.budgets.close();
    expect(await level()).toBe(left);
    other.crash();
    await tick(1_000);
    expect(await level()).toBe(Math.min(PLAN.burstUnits, left + PLAN.unitsPerSecond));
    expect(others).toBeGreaterThan(0);
  });
});

test('what a crashed process had in flight is free once it is believed dead, and the largest request is served alone', async () => {
  await within(async ([one, other]) => {
    const most = PLAN.unitsInFlight;
    // However large, a request takes half of the room.
    for (const _ of [1, 2]) expect(await one.request(most / 2, most)).toBe(most / 2);
    await tick(2_000);
    expect(await other.request(100, 100)).toBe(0);
    one.crash();
    await tick(PROCESS_TTL_MS);
    expect(await other.request(10 * PLAN.burstUnits, 10)).toBe(10 * PLAN.burstUnits);
    expect(await one.request(1_000, 1)).toBe(0);
  });
});
