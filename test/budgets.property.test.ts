import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { PROCESS_TTL_MS } from '#limits/budgets.js';
import type { Plan } from '#limits/plan.js';
import { type BudgetWorld, budgetWorlds, CREDIT, type Fault } from './support/budget-world.js';
import { SEED } from './support/seed.js';

const PLAN: Plan = { unitsPerSecond: 200, burstUnits: 400, unitsInFlight: 300, weight: 1 };
/** BUDGET_RUNS makes a campaign of it. Each run has a Redis to ask some hundred times. */
const RUNS = { numRuns: Number(process.env.BUDGET_RUNS ?? 40), seed: SEED };
const COUNT = 3;
const ROUNDING = 1e-3;

let worlds: Awaited<ReturnType<typeof budgetWorlds>>;
vi.setConfig({ testTimeout: 30_000 + RUNS.numRuns * 1_000 });
beforeAll(async () => {
  worlds = await budgetWorlds();
});
afterAll(async () => {
  vi.resetConfig();
  await worlds.stop();
});

const within = (work: (world: BudgetWorld) => Promise<void>, count = COUNT) =>
  worlds.within({ plan: PLAN, count }, work);

const which = fc.integer({ min: 0, max: COUNT - 1 });
const units = fc.integer({ min: 1, max: 120 });

type Step =
  | { kind: 'request'; which: number; units: number; actual: number }
  | { kind: 'finish' | 'sweep' | 'crash'; which: number }
  | { kind: 'tick' | 'jump'; ms: number }
  | { kind: 'suspend'; which: number; ms: number }
  | { kind: 'plan'; rate: number; burst: number; most: number }
  | { kind: 'fault'; which: number; fault: Fault }
  | { kind: 'empty' };

const STEPS = {
  request: fc.record({ kind: fc.constant('request' as const), which, units, actual: fc.integer({ min: 0, max: 200 }) }),
  finish: fc.record({ kind: fc.constant('finish' as const), which }),
  sweep: fc.record({ kind: fc.constant('sweep' as const), which }),
  crash: fc.record({ kind: fc.constant('crash' as const), which }),
  tick: fc.record({ kind: fc.constant('tick' as const), ms: fc.integer({ min: 0, max: 3_000 }) }),
  /** Who does nothing meanwhile was stopped: its leases are over when it goes on. */
  pause: fc.record({ kind: fc.constant('tick' as const), ms: fc.integer({ min: PROCESS_TTL_MS, max: 60_000 }) }),
  suspend: fc.record({ kind: fc.constant('suspend' as const), which, ms: fc.integer({ min: 1, max: 60_000 }) }),
  jump: fc.record({ kind: fc.constant('jump' as const), ms: fc.integer({ min: -60_000, max: 60_000 }) }),
  plan: fc.record({
    kind: fc.constant('plan' as const),
    rate: fc.integer({ min: 20, max: 2_000 }),
    burst: fc.integer({ min: 40, max: 4_000 }),
    most: fc.integer({ min: 30, max: 3_000 }),
  }),
  fault: fc.record({
    kind: fc.constant('fault' as const),
    which,
    fault: fc.constantFrom<Fault>('question lost', 'answer lost', undefined, undefined),
  }),
  empty: fc.record({ kind: fc.constant('empty' as const) }),
} satisfies Record<string, fc.Arbitrary<Step>>;

const stepsOf = (weights: Partial<Record<keyof typeof STEPS, number>>): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      ...Object.entries({ request: 10, finish: 6, tick: 4, ...weights }).map(([name, weight]) => ({
        weight,
        arbitrary: STEPS[name as keyof typeof STEPS] as fc.Arbitrary<Step>,
      })),
    ),
    { minLength: 10, maxLength: 60 },
  );

async function take(world: BudgetWorld, step: Step): Promise<unknown> {
  if (step.kind === 'request') return world.request(step.which, step.units, step.actual);
  if (step.kind === 'finish') return world.finish(step.which);
  if (step.kind === 'sweep') return world.sweep(step.which);
  if (step.kind === 'crash') return world.crash(step.which);
  if (step.kind === 'tick') return world.tick(step.ms);
  if (step.kind === 'jump') return world.jump(step.ms);
  if (step.kind === 'suspend') return world.suspend(step.which, step.ms);
  if (step.kind === 'empty') return world.empty();
  if (step.kind === 'plan') {
    return world.change({ unitsPerSecond: step.rate, burstUnits: step.burst, unitsInFlight: step.most, weight: 1 });
  }
  if (step.kind === 'fault') world.process(step.which).leases.fault = step.fault;
  return undefined;
}

test('three processes never spend more than a budget has, whoever crashes or sleeps, and whatever becomes of the plan', async () => {
  const steps = stepsOf({ sweep: 2, crash: 1, pause: 1, suspend: 1, jump: 1, plan: 1 });
  await fc.assert(
    fc.asyncProperty(steps, (taken) =>
      within(async (world) => {
        for (const step of taken) {
          await take(world, step);
          expect(await world.excess()).toBeLessThanOrEqual(ROUNDING);
          expect(await world.excessInFlight()).toBeLessThanOrEqual(0);
          // What a process owes is Redis' to know: it would be lost with it, and the others would spend it again.
          if (step.kind === 'sweep') expect(world.process(step.which).budget.inHand).toBeGreaterThanOrEqual(0);
        }
      }),
    ),
    RUNS,
  );
});

test('nor when questions, answers and all of Redis’ data are lost, beyond the shares that it has not been told of', async () => {
  const steps = stepsOf({ fault: 3, sweep: 3, crash: 1, pause: 1, suspend: 1, empty: 1 });
  await fc.assert(
    fc.asyncProperty(steps, (taken) =>
      within(async (world) => {
        for (const step of taken) {
          await take(world, step);
          expect(await world.excess()).toBeLessThanOrEqual(ROUNDING);
        }
      }),
    ),
    RUNS,
  );
});

/** So that each knows that the others are there, and none has said anything for long. */
async function acquaint(world: BudgetWorld): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) {
    for (const index of world.processes.keys()) {
      await world.request(index, 1);
      world.finish(index);
      await world.sweep(index);
    }
    await world.tick(PROCESS_TTL_MS / 3);
  }
}

const heavy = fc.integer({ min: 40, max: PLAN.burstUnits / 4 });
const outage = fc.record({
  /** By each before Redis is gone. */
  before: fc.array(heavy, { minLength: COUNT, maxLength: COUNT }),
  rounds: fc.array(fc.record({ units: fc.array(heavy, { minLength: COUNT, maxLength: COUNT }), ms: fc.nat(200) }), {
    minLength: 5,
    maxLength: 25,
  }),
  isEmptyThen: fc.boolean(),
});

test('while Redis is gone each spends its share of what it last knew, and there is no second burst afterwards', async () => {
  await fc.assert(
    fc.asyncProperty(outage, ({ before, rounds, isEmptyThen }) =>
      within(async (world) => {
        const spend = async (amounts: number[]) => {
          for (const [index, some] of amounts.entries()) {
            await world.request(index, some);
            world.finish(index);
          }
        };
        await acquaint(world);
        await spend(before);
        const goneMs = world.nowMs;
        const spentBefore = world.spent;
        const shares = world.processes.map(({ view, leases }) => {
          expect(leases.heard?.reply.processes).toBe(COUNT);
          return Math.max(0, Math.min(PLAN.burstUnits, view)) / COUNT;
        });
        const had = world.inHand + shares.reduce((sum, share) => sum + share, 0);
        for (const { leases } of world.processes) leases.fault = 'question lost';
        for (const round of rounds) {
          await world.tick(round.ms);
          await spend(round.units);
          const refill = ((world.nowMs - goneMs) * PLAN.unitsPerSecond) / 1_000;
          expect(world.spent - spentBefore).toBeLessThanOrEqual(had + refill + ROUNDING);
        }
        // To the last unit that each has.
        for (const index of world.processes.keys()) while ((await world.request(index, 1)) > 0) world.finish(index);
        const refilled = ((world.nowMs - goneMs) * PLAN.unitsPerSecond) / 1_000;
        expect(world.spent - spentBefore).toBeLessThanOrEqual(had + refilled + ROUNDING);
        if (isEmptyThen) await world.empty();
        for (const { leases } of world.processes) leases.fault = undefined;
        for (const round of rounds) {
          await spend(round.units);
          expect(await world.excess()).toBeLessThanOrEqual(ROUNDING);
        }
        // By now all have been told: not a unit was spent that was not there, but for what nobody remembers.
        expect([world.untold, ...world.processes.map(({ budgets }) => budgets.isAway)]).toEqual([
          0,
          ...world.processes.map(() => false),
        ]);
      }),
    ),
    RUNS,
  );
});

test('who stays within its plan is never refused: not while Redis is gone, nor when it is back, with its data or without', async () => {
  const STEP_MS = 100;
  const within90 = (share: number) => Math.floor((PLAN.unitsPerSecond * share * STEP_MS * 0.9) / 1_000 / COUNT);
  const shape = fc.record({
    goneMs: fc.integer({ min: 0, max: 60_000 }),
    /** Some ask for nothing. */
    busy: fc.subarray([0, 1, 2], { minLength: 1 }),
    isEmptyThen: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(shape, ({ goneMs, busy, isEmptyThen }) =>
      within(async (world) => {
        await acquaint(world);
        const go = async (ms: number) => {
          for (let passed = 0; passed < ms; passed += STEP_MS) {
            await world.tick(STEP_MS);
            for (const index of busy) {
              expect(await world.request(index, within90(1))).toBeGreaterThan(0);
              world.finish(index);
            }
          }
        };
        await go(1_000);
        for (const { leases } of world.processes) leases.fault = 'question lost';
        await go(goneMs);
        if (isEmptyThen) await world.empty();
        for (const { leases } of world.processes) leases.fault = undefined;
        await go(2_000);
      }),
    ),
    {
      ...RUNS,
      numRuns: Math.ceil(RUNS.numRuns / 8),
      examples: [[{ goneMs: 60_000, busy: [0, 1, 2], isEmptyThen: false }]],
    },
  );
});

test('what a process has in hand goes back when it ends, and is lost for no longer than a refill when it crashes', async () => {
  await within(async (world) => {
    for (const index of [0, 1]) {
      await world.request(index, 100);
      world.finish(index);
    }
    const [one, other] = [world.process(0), world.process(1)];
    expect(one.budget.inHand).toBeGreaterThan(0);
    const left = (await world.left()) + one.budget.inHand;
    expect(other.budget.inHand).toBeGreaterThan(0);
    await one.budgets.close();
    expect(await world.left()).toBe(left);
    await world.crash(1);
    await world.tick(1_000);
    expect(await world.left()).toBe(left + PLAN.unitsPerSecond);
  }, 2);
});

test('what a crashed process had in flight is free once it is believed dead, and the largest request is served alone', async () => {
  await within(async (world) => {
    const most = PLAN.unitsInFlight;
    // However large, a request takes half of the room.
    for (const _ of [1, 2]) expect(await world.request(0, most / 2, most)).toBe(most / 2);
    await world.tick(2_000);
    expect(await world.request(1, 100)).toBe(0);
    await world.crash(0);
    await world.tick(PROCESS_TTL_MS);
    expect(await world.request(1, 10 * PLAN.burstUnits, 10)).toBe(10 * PLAN.burstUnits);
    expect(await world.request(0, 1_000, 1)).toBe(0);
  }, 2);
});

test('a smaller plan holds from the moment that it is known, whatever was taken by the one before, also while Redis is gone', async () => {
  await within(async (world) => {
    const one = world.process(0);
    await world.request(0, 150);
    await one.sweep();
    expect(one.budget.inHand).toBeGreaterThan(0);
    world.finish(0);
    // It has been asked in vain, and is not asked again yet.
    one.leases.fault = 'question lost';
    one.leases.isAway = true;
    one.leases.mayAsk = false;
    world.plan = { ...PLAN, unitsInFlight: 30 };
    one.know();
    expect(one.budget.inHand).toBe(0);
    const taken = await Promise.all(Array.from({ length: 8 }, () => world.request(0, 10)));
    expect(taken.filter((some) => some > 0)).toHaveLength(3);
  }, 1);
});

test('what costs no more than it was estimated at leaves no debt, but for the first request of each process', async () => {
  await within(async (world) => {
    for (let asked = 0; asked < 20; asked += 1) {
      for (const index of world.processes.keys()) await world.request(index, 20);
      for (const index of world.processes.keys()) world.finish(index);
    }
    expect(world.spent).toBeGreaterThan(PLAN.burstUnits / 2);
    expect(world.spent).toBeLessThanOrEqual(PLAN.burstUnits + COUNT * CREDIT);
  });
});

test('a debt is told at once: the others have that much less', async () => {
  await within(async (world) => {
    await world.request(0, 100, 700);
    world.finish(0);
    expect(world.process(0).budget.inHand).toBeLessThan(0);
    await world.sweep(0);
    expect(world.process(0).budget.inHand).toBeGreaterThanOrEqual(0);
    expect(await world.left()).toBeLessThan(0);
    expect(await world.request(1, CREDIT + 1)).toBe(0);
  }, 2);
});

test('a process that forgot its merchant while Redis was away gives back nothing that it had spent', async () => {
  await within(async (world) => {
    await world.request(0, 200);
    world.finish(0);
    world.process(0).leases.fault = 'question lost';
    await world.tick(PROCESS_TTL_MS / 3);
    const { budget } = world.process(0);
    await world.sweep(0);
    expect(world.process(0).budget).not.toBe(budget);
    world.process(0).leases.fault = undefined;
    while ((await world.request(1, 1)) > 0) world.finish(1);
    await world.request(0, 1);
    expect(await world.excess()).toBeLessThanOrEqual(ROUNDING);
  }, 2);
});

test('what a merchant has spent is not forgotten with it where Redis keeps nothing: it has no second burst for a pause', async () => {
  const plan = { ...PLAN, unitsPerSecond: 10 };
  await worlds.within({ plan, count: 1 }, async (world) => {
    while ((await world.request(0, 10)) > 0) world.finish(0);
    for (let pause = 0; pause < 3; pause += 1) {
      await world.empty();
      await world.tick(PROCESS_TTL_MS / 3);
      await world.sweep(0);
    }
    await world.empty();
    expect(await world.request(0, plan.burstUnits / 2)).toBe(0);
    const before = world.spent;
    while ((await world.request(0, 10)) > 0) world.finish(0);
    expect(world.spent - before).toBeLessThanOrEqual((plan.unitsPerSecond * PROCESS_TTL_MS) / 1_000 + 10);
    // Once it is whole nothing is lost with it.
    const { budget } = world.process(0);
    await world.tick((plan.burstUnits * 1_000) / plan.unitsPerSecond);
    await world.empty();
    await world.sweep(0);
    expect(world.process(0).budget).not.toBe(budget);
  });
});

test.each([
  ['knows of', true],
  ['has forgotten', false],
])(
  'what there was no room for before an outage, which a process %s, pays for nothing that is spent in it',
  async (_, isKnown) => {
    await within(async (world) => {
      await acquaint(world);
      await world.tick(PROCESS_TTL_MS / 3);
      for (const index of world.processes.keys()) {
        if (isKnown) await world.request(index, 1);
        world.finish(index);
        await world.sweep(index);
      }
      expect(await world.left()).toBeGreaterThan(2 * PLAN.burstUnits);
      for (const { leases } of world.processes) leases.fault = 'question lost';
      const before = world.spent;
      for (const index of world.processes.keys()) while ((await world.request(index, 1)) > 0) world.finish(index);
      expect(world.spent - before).toBeGreaterThan(PLAN.burstUnits / 2);
      for (const { leases } of world.processes) leases.fault = undefined;
      for (const index of world.processes.keys()) await world.request(index, 1);
      expect(world.untold).toBe(0);
      expect(await world.level()).toBeLessThan(PLAN.burstUnits / 4);
    });
  },
);

test('a clock of Redis’ that is set back takes nothing away', async () => {
  await within(async (world) => {
    await world.request(0, 10);
    await world.jump(-60_000);
    for (const _ of [1, 2, 3]) expect(await world.request(0, 60)).toBe(60);
  }, 1);
});
