import type { Fact, FactType } from './facts.js';
import { begin, type Movement, tell } from './movement.js';
import { withPairs } from './pairs.js';
import { addUntold, isTotal } from './totals.js';

export interface Movements {
  /** Hardly ever out of the order in which they were first spoken of. */
  readonly all: readonly Movement[];
  /** Failures that might be of several movements, or of none that is known. */
  readonly unplaced: readonly Fact[];
}

/** `facts`: all of one kind, in their own order. `happened`: the type that says that money moved; the others undo it. */
export function movementsOf(facts: readonly Fact[], happened: FactType): Movements {
  const byRef = new Map<string, Movement>();
  const apart: Movement[] = [];
  const totals: Fact[] = [];
  const undirected: Fact[] = [];
  for (const fact of facts) {
    const known = fact.objectRef === undefined ? undefined : byRef.get(fact.objectRef);
    if (known) tell(known, fact, happened);
    else if (fact.objectRef === undefined && fact.type !== happened) undirected.push(fact);
    else if (isTotal(fact)) totals.push(fact);
    else {
      const movement = begin(fact, happened);
      apart.push(movement);
      if (fact.objectRef !== undefined) byRef.set(fact.objectRef, movement);
    }
  }
  const all = withPairs(apart);
  if (totals.length > 0) addUntold(all, totals);
  return { all, unplaced: undirected.length > 0 ? failUndirected(undirected, all) : [] };
}

/** Whoever says only that "it" failed means the only one, or the only one of that amount. Returns those that mean nobody yet. */
function failUndirected(failures: readonly Fact[], movements: readonly Movement[]): Fact[] {
  const byAmount = Map.groupBy(movements, ({ amount }) => amount);
  return failures.filter((fact) => {
    const [meant, another] = movements.length === 1 ? movements : (byAmount.get(fact.amount ?? -1n) ?? []);
    if (!meant || another) return true;
    meant.failure ??= fact;
    meant.facts.push(fact);
    return false;
  });
}

/**
 * Gives movements without an amount what is left of `limit`, and returns those that have to wait: with `capped` whatever does not
 * fit into it, in their order; and who has no amount while nothing is left.
 */
export function fit(movements: readonly Movement[], limit: bigint, capped: boolean): Set<Movement> {
  const waiting = new Set<Movement>();
  const vague: Movement[] = [];
  let left = limit;
  for (const movement of movements) {
    if (movement.failure) continue;
    if (movement.amount === undefined) vague.push(movement);
    else if (capped && movement.amount > left) waiting.add(movement);
    else left -= movement.amount;
  }
  for (const movement of vague) {
    if (left <= 0n) waiting.add(movement);
    else {
      movement.amount = left;
      left = 0n;
    }
  }
  return waiting;
}
