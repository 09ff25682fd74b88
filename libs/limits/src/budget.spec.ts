import { describe, expect, it } from 'vitest';
import { Budget, type Taken } from './budget.js';
import { Charge } from './charge.js';
import type { Plan } from './plan.js';

const PLAN: Plan = { unitsPerSecond: 1, burstUnits: 100, unitsInFlight: 100, weight: 1 };
const NOW_MS = 1_000;

const budgetOf = () => new Budget(1n, { plan: PLAN, nowMs: NOW_MS, leaseMs: 100, processes: 1 });
const taken = (budget: Budget, units: number, isAway: boolean) => budget.take(units, NOW_MS, isAway) as Taken;

describe('what a request came to', () => {
  it('is settled each time for the difference alone', () => {
    const budget = budgetOf();
    const of = taken(budget, 10, false);
    for (const units of [12, 30, 30]) budget.settle(of, units);
    expect(budget.inHand).toBe(-30);
    budget.settle(of, 5);
    expect(budget.inHand).toBe(-5);
  });

  it('is settled on the share that it was taken from, while Redis cannot be asked', () => {
    const budget = budgetOf();
    const of = taken(budget, 10, true);
    for (const units of [60, 95]) budget.settle(of, units);
    expect([budget.shared, budget.inHand, budget.available(NOW_MS)]).toEqual([95, 0, 5]);
    expect(budget.take(20, NOW_MS, true)).toBe('units');
    budget.settle(of, 50);
    expect([budget.shared, budget.available(NOW_MS)]).toEqual([50, 50]);
  });
});

it('a plan that was looked up before the one that is known is news to nobody', () => {
  const budget = budgetOf();
  const [older, newer] = [PLAN, { ...PLAN, burstUnits: 400 }];
  expect(budget.know(newer, NOW_MS + 2)).toBe(true);
  expect(budget.know(older, NOW_MS + 1)).toBe(false);
  expect([budget.plan, budget.planAtMs]).toEqual([newer, NOW_MS + 2]);
  expect(budget.know(newer, NOW_MS + 3)).toBe(false);
  expect(budget.planAtMs).toBe(NOW_MS + 3);
});

describe('a stream', () => {
  const streamOf = (budget: Budget, clock: () => number) => {
    const cost = { rows: 0, passedBy: 0, entries: 0, bytes: 0, rounds: 1 };
    const asking = {
      merchantId: 1n,
      byOperator: false,
      method: 'GET',
      route: '/v1/events',
      price: 'events',
      bytes: 0,
      rows: 0,
      cost,
    };
    const charge = new Charge(asking as never, budget, { clock, ended: () => undefined });
    return { cost, charge: charge.admitted(taken(budget, charge.estimated, true)) };
  };

  it('that owes units looks again once they have come back', async () => {
    let nowMs = NOW_MS;
    const budget = new Budget(1n, {
      plan: { ...PLAN, unitsPerSecond: 1_000 },
      nowMs,
      leaseMs: 100,
      processes: 1,
    });
    const { cost, charge } = streamOf(budget, () => nowMs);
    await charge.outOfDebt(new AbortController().signal);
    cost.rounds = 200;
    charge.settle();
    expect(budget.available(nowMs)).toBeLessThan(-1_000);
    let isOut = false;
    const out = charge.outOfDebt(new AbortController().signal).then(() => {
      isOut = true;
    });
    for (let turn = 0; turn < 100; turn += 1) await new Promise(setImmediate);
    expect(isOut).toBe(false);
    nowMs += 60_000;
    await out;
  });

  it('that owes units ends with its client', async () => {
    const { cost, charge } = streamOf(budgetOf(), () => NOW_MS);
    cost.rounds = 200;
    charge.settle();
    const gone = new AbortController();
    const out = charge.outOfDebt(gone.signal);
    gone.abort();
    await out;
  });

  it('is in flight no more once it rests, and is landed once', () => {
    const budget = budgetOf();
    const { charge } = streamOf(budget, () => NOW_MS);
    expect(budget.inFlight).toBeGreaterThan(0);
    charge.rest();
    charge.rest();
    charge.end();
    expect(budget.inFlight).toBe(0);
  });
});
