import type { Fact } from './facts.js';

/** What of a set of facts can be believed to be of one payment, in the order of what the facts say of themselves. */
export interface Known {
  /** Absent: there is no payment yet, and everything waits. */
  readonly founding: Founding | undefined;
  /** Each identity once, in the payment's currency, by `occurredAtMs`, then `sequence`, then id. */
  readonly facts: readonly Fact[];
  /** Ids of facts in another currency. */
  readonly foreign: readonly string[];
  /** Ids that were given with more than one content. */
  readonly contradictory: readonly string[];
}

/** A payment begins with a fact that says how much, and of what. */
export type Founding = Fact & { readonly amount: bigint; readonly currency: string };

export function knownOf(given: Iterable<Fact>): Known {
  const { facts, contradictory } = onceEach(given);
  facts.sort(byOwnAccount);
  const founding = foundingOf(facts);
  if (founding === undefined) return { founding, facts, foreign: [], contradictory };
  const isForeign = ({ currency }: Fact): boolean => currency !== undefined && currency !== founding.currency;
  if (!facts.some(isForeign)) return { founding, facts, foreign: [], contradictory };
  return {
    founding,
    facts: facts.filter((fact) => !isForeign(fact)),
    foreign: facts.filter(isForeign).map(({ id }) => id),
    contradictory,
  };
}

/** Never by arrival. A fact without a sequence stands before those of its millisecond that have one. */
export function byOwnAccount(one: Fact, other: Fact): number {
  return (
    one.occurredAtMs - other.occurredAtMs ||
    (one.sequence ?? 0) - (other.sequence ?? 0) ||
    (one.id < other.id ? -1 : one.id > other.id ? 1 : 0)
  );
}

/** The store keeps one content for each identity; of several given here, the same one is taken in any order. */
function onceEach(given: Iterable<Fact>): { facts: Fact[]; contradictory: string[] } {
  const byId = new Map<string, Fact>();
  const contradictory = new Set<string>();
  for (const fact of given) {
    const other = byId.get(fact.id);
    if (other === fact) continue;
    if (other === undefined) byId.set(fact.id, fact);
    else if (contentOf(fact) !== contentOf(other)) {
      contradictory.add(fact.id);
      if (contentOf(fact) < contentOf(other)) byId.set(fact.id, fact);
    }
  }
  return { facts: [...byId.values()], contradictory: [...contradictory].sort() };
}

function contentOf(fact: Fact): string {
  const { occurredAtMs, sequence, source, type, amount, currency, amountKind, objectRef, fee, stage, final } = fact;
  return [occurredAtMs, sequence, source, type, amount, currency, amountKind, objectRef, fee, stage, final].join('\n');
}

/** The merchant's own opening first, else the first authorisation, else a capture that says that it is the first fact. */
function foundingOf(facts: readonly Fact[]): Founding | undefined {
  const founders = facts.filter(
    (fact): fact is Founding =>
      fact.amount !== undefined &&
      fact.currency !== undefined &&
      (fact.type === 'authorised' || (fact.type === 'captured' && fact.sequence === 1)),
  );
  return (
    founders.find(({ type, source }) => type === 'authorised' && source === 'request') ??
    founders.find(({ type }) => type === 'authorised') ??
    founders[0]
  );
}
