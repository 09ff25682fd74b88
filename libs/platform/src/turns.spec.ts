import { afterEach, expect, it, vi } from 'vitest';
import { finish, finishInTurns, inTurns, type Pieces } from './turns.js';

/** A turn of the event loop takes no time but what `spend` says. */
let now = 0;
/** Turns of the event loop so far. */
let turn = 0;
let counting = true;

function begin(): void {
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  [now, turn, counting] = [0, 0, true];
  const count = (): void => {
    turn += 1;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
}

afterEach(() => {
  counting = false;
  vi.restoreAllMocks();
});

/** Work of so many steps, each of which takes `stepMs`, and in which turn each was done. */
function* work(steps: number, stepMs: number, doneIn: number[]): Pieces<string> {
  for (let step = 0; step < steps; step += 1) {
    now += stepMs;
    doneIn.push(turn);
    yield;
  }
  return 'done';
}

it('long works have one piece in each turn of the event loop, in turn', async () => {
  begin();
  const doneIn: number[][] = [[], [], []];
  const results = await Promise.all(doneIn.map((turns) => finishInTurns(work(4, 1, turns))));
  expect(results).toEqual(['done', 'done', 'done']);
  // Their first pieces were begun by whoever called.
  const later = doneIn.flatMap(([, ...rest]) => rest);
  expect(new Set(later).size).toBe(9);
  expect(doneIn.map(([, ...rest]) => rest.map((each) => each % 3))).toEqual(
    [0, 1, 2].map((of) => Array(3).fill((of + (doneIn[0]?.[1] ?? 0)) % 3)),
  );
});

it('a piece goes on for a millisecond', async () => {
  begin();
  const doneIn: number[] = [];
  await finishInTurns(work(12, 0.25, doneIn));
  expect([...Map.groupBy(doneIn, (each) => each).values()].map((piece) => piece.length)).toEqual([4, 4, 4]);
});

it('items are dealt with for a millisecond before others have their turn', async () => {
  begin();
  const doneIn: number[] = [];
  await inTurns(Array(12).fill(0), () => {
    now += 0.5;
    doneIn.push(turn);
    return undefined;
  });
  expect([...Map.groupBy(doneIn, (each) => each).values()].map((piece) => piece.length)).toEqual([2, 2, 2, 2, 2, 2]);
});

it('nothing behind the item that ends it is looked at', async () => {
  const seen: number[] = [];
  await inTurns([1, 2, 3], (item) => seen.push(item) < 2);
  expect(seen).toEqual([1, 2]);
});

it('what is worked off in one go has no turns in between', () => {
  begin();
  const doneIn: number[] = [];
  expect(finish(work(5, 1, doneIn))).toBe('done');
  expect(doneIn).toEqual([0, 0, 0, 0, 0]);
});
