import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SEED } from '../../../test/support/seed.js';
import { FairQueue, type Place } from './fair-queue.js';

type Step = { do: 'push' | 'putBack' | 'take' | 'hold' | 'release' | 'remove'; key: number; cost: number };

const KEYS = 5;
const MOST = 12;
const keys = fc.nat({ max: KEYS - 1 });
const costs = fc.integer({ min: 1, max: MOST });
const weights = fc.array(fc.constantFrom(0.5, 1, 2, 5), { minLength: KEYS, maxLength: KEYS });
const steps = fc.array(
  fc.record({
    do: fc.constantFrom<Step['do'][]>('push', 'push', 'push', 'take', 'take', 'putBack', 'hold', 'release', 'remove'),
    key: keys,
    cost: costs,
  }),
  { maxLength: 200 },
);
const holds = (property: fc.IProperty<unknown>) => fc.assert(property as fc.IProperty<[]>, { seed: SEED });

describe('a fair queue', () => {
  test('loses nothing, keeps each key in order, is full where it says, and is never idle', () => {
    const run = (all: Step[], shares: number[], quantum: number) => {
      const limits = { capacity: 7, keyCapacity: 3 };
      const queue = new FairQueue<number, number>({ ...limits, quantum, weightOf: (key) => shares[key] ?? 1 });
      const places = new Map<number, Place<number, number>>();
      const order = Array.from({ length: KEYS }, (): number[] => []);
      const held = new Set<number>();
      let next = 0;
      const waiting = () => order.reduce((sum, line) => sum + line.length, 0);
      for (const { do: step, key, cost } of all) {
        const line = order[key] as number[];
        if (step === 'hold') {
          held.add(key);
          queue.hold(key);
        } else if (step === 'release') {
          held.delete(key);
          queue.release(key);
        } else if (step === 'remove') {
          const id = line[cost % Math.max(1, line.length)];
          if (id === undefined) continue;
          const place = places.get(id) as Place<number, number>;
          expect([queue.remove(place), queue.remove(place)]).toEqual([true, false]);
          line.splice(line.indexOf(id), 1);
        } else if (step === 'take') {
          const seen = queue.peek();
          const item = queue.take();
          expect(item).toBe(seen?.item);
          const free = order.flatMap((ids, of) => (held.has(of) ? [] : ids.slice(0, 1)));
          if (free.length === 0) expect(item).toBeUndefined();
          else expect(free).toContain(item);
          if (item !== undefined) order[seen?.key as number]?.shift();
        } else {
          const id = next++;
          const isFull = waiting() >= limits.capacity || line.length >= limits.keyCapacity;
          const place = step === 'push' ? queue.push(key, id, cost) : queue.putBack(key, id, cost);
          expect(place === undefined).toBe(step === 'push' && isFull);
          if (!place) continue;
          places.set(id, place);
          if (step === 'push') line.push(id);
          else line.unshift(id);
        }
        expect([queue.size, queue.sizeOf(key)]).toEqual([waiting(), order[key]?.length]);
      }
      for (const key of held) queue.release(key);
      const left = new Set(order.flat());
      for (let item = queue.take(); item !== undefined; item = queue.take()) expect(left.delete(item)).toBe(true);
      expect([left.size, queue.size]).toEqual([0, 0]);
    };
    holds(fc.property(steps, weights, fc.integer({ min: 1, max: 20 }), run));
  });

  test('a key that comes new waits for one turn of each other key, however long their lines are', () => {
    const run = (lengths: number[], takenBefore: number, shares: number[], quantum: number, drawn: number[]) => {
      const costOf = (index: number) => drawn[index % drawn.length] as number;
      const weightOf = (key: number) => shares[key] ?? 1;
      const queue = new FairQueue<number, number>({ capacity: 1e6, keyCapacity: 1e6, quantum, weightOf });
      lengths.forEach((length, key) => {
        for (let index = 0; index < length; index += 1) queue.push(key, key, costOf(index + key));
      });
      for (let taken = 0; taken < takenBefore; taken += 1) queue.take();
      const active = lengths.flatMap((_, key) => (queue.sizeOf(key) > 0 ? [key] : []));
      queue.push(KEYS, KEYS, Math.min(1, quantum));
      let before = 0;
      for (let next = queue.peek(); next && next.key !== KEYS; next = queue.peek()) {
        before += next.cost;
        queue.take();
      }
      expect(before).toBeLessThanOrEqual(active.reduce((sum, key) => sum + quantum * weightOf(key) + MOST, 0));
    };
    const lengths = fc.array(fc.nat({ max: 200 }), { minLength: KEYS, maxLength: KEYS });
    const drawn = fc.array(costs, { minLength: 1, maxLength: 10 });
    holds(fc.property(lengths, fc.nat({ max: 300 }), weights, fc.integer({ min: 1, max: 20 }), drawn, run));
  });

  test('keys that always wait get their shares by weight and cost, whatever their items cost', () => {
    const run = (drawn: number[][], shares: number[], quantum: number) => {
      const weightOf = (key: number) => shares[key] as number;
      const queue = new FairQueue<number, number>({ capacity: 1e6, keyCapacity: 1e6, quantum, weightOf });
      drawn.forEach((ofKey, key) => {
        for (let index = 0; index < 300; index += 1) queue.push(key, key, ofKey[index % ofKey.length]);
      });
      const given = drawn.map(() => 0);
      // None is empty yet.
      for (let taken = 0; taken < 300; taken += 1) {
        const { key, cost } = queue.peek() as { key: number; cost: number };
        queue.take();
        given[key] = (given[key] ?? 0) + cost;
      }
      const turns = given.map((sum, key) => sum / (quantum * weightOf(key)));
      const slack = 1 + (2 * MOST) / (quantum * Math.min(...shares));
      expect(Math.max(...turns) - Math.min(...turns)).toBeLessThanOrEqual(slack);
    };
    const drawn = fc.array(fc.array(costs, { minLength: 1, maxLength: 4 }), { minLength: KEYS, maxLength: KEYS });
    holds(fc.property(drawn, weights, fc.integer({ min: 1, max: 20 }), run));
  });

  test('a key that is held again and again saves no more than its next item costs', () => {
    const queue = new FairQueue<string, string>({ capacity: 1_000, keyCapacity: 1_000, quantum: 10 });
    for (let index = 0; index < 100; index += 1) queue.push('held', 'held');
    for (let turn = 0; turn < 50; turn += 1) {
      expect(queue.take()).toBe('held');
      queue.hold('held');
      queue.release('held');
    }
    for (let index = 0; index < 20; index += 1) queue.push('other', 'other');
    const taken = Array.from({ length: 20 }, () => queue.take());
    expect(taken.slice(0, 12)).toContain('other');
  });

  test('a key that is released goes behind the others', () => {
    const queue = new FairQueue<string, string>({ capacity: 9, keyCapacity: 9 });
    for (const key of ['a', 'a', 'a', 'b', 'b', 'c']) queue.push(key, key);
    const taken = Array.from({ length: 6 }, () => {
      const { key } = queue.peek() as { key: string };
      const item = queue.take();
      queue.hold(key);
      queue.release(key);
      return item;
    });
    expect(taken).toEqual(['a', 'b', 'c', 'a', 'b', 'a']);
  });

  test('a key that is held in its turn and released has its next one as soon as any other', () => {
    const queue = new FairQueue<string, string>({ capacity: 9, keyCapacity: 9 });
    for (const key of ['a', 'a', 'a', 'b', 'b', 'b']) queue.push(key, key);
    const taken = Array.from({ length: 6 }, () => {
      const item = queue.take();
      queue.hold('a');
      queue.release('a');
      return item;
    });
    expect(taken).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
  });

  test('a key whose last item is removed while it is held leaves the others their turns', () => {
    const queue = new FairQueue<string, string>({ capacity: 9, keyCapacity: 9 });
    const place = queue.push('held', 'held') as Place<string, string>;
    for (const key of ['a', 'b']) queue.push(key, key);
    queue.hold('held');
    queue.remove(place);
    expect([queue.ready, queue.take(), queue.take(), queue.take()]).toEqual([2, 'a', 'b', undefined]);
  });

  test('an item that costs many turns is saved for while the others have theirs, and comes', () => {
    const queue = new FairQueue<string, string>({ capacity: 1_000, keyCapacity: 1_000, quantum: 2 });
    queue.push('large', 'large', 20);
    for (let index = 0; index < 100; index += 1) queue.push('small', 'small');
    const taken = Array.from({ length: 101 }, () => queue.take());
    expect(taken.indexOf('large')).toBeGreaterThanOrEqual(18);
    expect(taken.indexOf('large')).toBeLessThanOrEqual(20);
  });

  test('a weight that is none is the least there is, and nothing costs nothing', () => {
    for (const weight of [0, -1, Number.NaN]) {
      const queue = new FairQueue<string, string>({ capacity: 9, keyCapacity: 9, weightOf: () => weight });
      queue.push('a', 'a');
      expect(queue.take()).toBe('a');
    }
    const queue = new FairQueue<string, string>({ capacity: 9, keyCapacity: 9 });
    for (const cost of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => queue.push('a', 'a', cost)).toThrow(RangeError);
  });
});
