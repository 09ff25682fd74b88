import { describe, expect, test } from 'vitest';
import { FACT_TYPES } from '#payments/facts.js';
import { shuffled, withEchoes } from './arrivals.js';
import { endingOf } from './ending.js';
import { type Life, liveALife, PLOT_NAMES } from './life.js';
import { Random } from './random.js';

const COUNT = 3_000;

function lifeOf(n: number, seed = 'lives'): Life {
  const options = { ref: `p${n}`, currency: 'EUR', sinceMs: Date.UTC(2026, 10, 20), opened: 0.5 };
  return liveALife(options, new Random(seed, n));
}

const LIVES = Array.from({ length: COUNT }, (_, n) => lifeOf(n));
const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

describe('lives', () => {
  test('are the same for a seed, and others for another', () => {
    expect(lifeOf(7)).toEqual(LIVES[7]);
    expect(lifeOf(7, 'others')).not.toEqual(LIVES[7]);
  });

  test('have every plot and every type of fact', () => {
    expect(new Set(LIVES.map(({ plot }) => plot))).toEqual(new Set(PLOT_NAMES));
    const told = new Set(LIVES.flatMap(({ facts }) => facts.map(({ type }) => type)));
    expect([...told].sort()).toEqual([...FACT_TYPES].sort());
  });

  test('tell each fact under a name of its own, each at a time of its own', () => {
    for (const { facts } of LIVES) {
      expect(new Set(facts.map((fact) => fact.event_id)).size).toBe(facts.length);
      const times = facts.map((fact) => fact.occurred_at);
      expect(times).toEqual([...new Set(times)].sort());
    }
  });

  test('end with books that balance, and with no more given back than came', () => {
    for (const life of LIVES) {
      const { posted, pending, shown } = endingOf(life);
      const { captured, refunded, disputed, settled, authorised, capturable } = shown;
      expect([sum(Object.values(posted)), sum(Object.values(pending))], life.plot).toEqual([0, 0]);
      expect(refunded + disputed, life.plot).toBeLessThanOrEqual(captured);
      expect(settled, life.plot).toBeLessThanOrEqual(captured);
      expect(capturable, life.plot).toBeLessThanOrEqual(authorised);
    }
  });
});

describe('arrivals', () => {
  test('are all of them, none further from its place than the window', () => {
    const items = Array.from({ length: 500 }, (_, n) => n);
    const arrived = shuffled(items, 20, new Random('arrivals'));
    expect(arrived).not.toEqual(items);
    expect([...arrived].sort((a, b) => a - b)).toEqual(items);
    expect(Math.max(...arrived.map((item, at) => Math.abs(item - at)))).toBeLessThanOrEqual(20);
  });

  test('have some facts told by a second event, of the same content', () => {
    const facts = LIVES.slice(0, 100).flatMap((life) => life.facts);
    const told = withEchoes(facts, 0.3, new Random('echoes'));
    const echoes = told.filter((fact) => !facts.includes(fact));
    expect(echoes.length).toBeGreaterThan(10);
    for (const { event_id, ...echo } of echoes)
      expect(facts).toContainEqual({ ...echo, event_id: event_id.replace(/-again$/, '') });
  });
});
