import type { LuaKey } from './lua-key.js';
import type { Next } from './moves.js';
import type { Protocol } from './protocol.js';
import { Shape, type State } from './state.js';
import { Stepper } from './steps.js';

export interface Exploration {
  states: number;
  transitions: number;
  depth: number;
  /** Nothing is left to explore. */
  exhausted: boolean;
  /** What went wrong first; undefined when nothing did. */
  bad: string | undefined;
  /** The steps that lead there: a shortest counterexample. */
  trace: string[];
}

/** States whose scripts are learnt together. */
const CHUNK = 2_000;

/** Breadth first, so that a counterexample is a shortest one. */
export async function explore(protocol: Protocol, lua: LuaKey, maxStates = 6_000_000): Promise<Exploration> {
  const shape = new Shape(protocol.writers, protocol.readers);
  const stepper = new Stepper(protocol, shape, lua);
  const start = shape.pack(shape.initial());
  const states = [start];
  const parents = [0];
  const seen = new Set([start]);
  let transitions = 0;
  let depth = 0;
  let levelEnd = 1;
  const result = (bad: string | undefined, trace: string[], exhausted: boolean): Exploration => ({
    states: states.length,
    transitions,
    depth,
    exhausted,
    bad,
    trace,
  });

  for (let from = 0; from < states.length; ) {
    const to = Math.min(states.length, from + CHUNK);
    const expanded = await expandAll(stepper, shape, lua, states.slice(from, to));
    for (const [offset, { wrong, next }] of expanded.entries()) {
      const index = from + offset;
      if (index === levelEnd) {
        depth += 1;
        levelEnd = states.length;
      }
      if (wrong) return result(wrong, await retrace(stepper, shape, lua, states, parents, index, false), false);
      for (const { packed, bad } of next) {
        transitions += 1;
        if (bad) return result(bad, await retrace(stepper, shape, lua, states, parents, index, true), false);
        if (seen.has(packed)) continue;
        seen.add(packed);
        states.push(packed);
        parents.push(index);
      }
    }
    from = to;
    if (states.length > maxStates) return result(undefined, [], false);
  }
  return result(undefined, [], true);
}

interface Expanded {
  wrong: string | undefined;
  next: { packed: string; bad: string | undefined }[];
}

async function expandAll(stepper: Stepper, shape: Shape, lua: LuaKey, packed: string[]): Promise<Expanded[]> {
  const expanded: (Expanded | undefined)[] = packed.map(() => undefined);
  for (let again = packed.map((_, index) => index); again.length > 0; ) {
    const missed: number[] = [];
    let missing = 0;
    for (const index of again) {
      const state = shape.unpack(packed[index] as string);
      const before = lua.missingCount;
      const wrong = stepper.wrongWith(state);
      const next = stepper.steps(state).map((one) => ({ packed: shape.pack(one.state), bad: one.bad }));
      if (lua.missingCount > before) missed.push(index);
      else expanded[index] = { wrong, next };
      missing = lua.missingCount;
    }
    if (missing > 0) await lua.learn();
    again = missed;
  }
  return expanded as Expanded[];
}

/** Walks the path again without sorting, so that W1 stays W1. */
async function retrace(
  stepper: Stepper,
  shape: Shape,
  lua: LuaKey,
  states: string[],
  parents: number[],
  index: number,
  oneMore: boolean,
): Promise<string[]> {
  const path: string[] = [];
  for (let at = index; at !== 0; at = parents[at] as number) path.unshift(states[at] as string);
  const trace: string[] = [];
  let state: State = shape.initial();
  const stepsFrom = async (): Promise<Next[]> => {
    for (;;) {
      const next = stepper.steps(state);
      if (!lua.missing) return next;
      await lua.learn();
    }
  };
  for (const wanted of path) {
    const step = (await stepsFrom()).find((next) => shape.pack(next.state) === wanted);
    if (!step) throw new Error('a counterexample cannot be replayed');
    trace.push(step.what);
    state = step.state;
  }
  if (oneMore) {
    const last = (await stepsFrom()).find(({ bad }) => bad);
    if (last) trace.push(last.what);
  }
  return trace;
}
