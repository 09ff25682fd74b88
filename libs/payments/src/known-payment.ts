import type { Fact } from './facts.js';
import { type FactRow, factColumns, factOf, type PaymentRow } from './payment-rows.js';
import { type Position, type PositionOptions, position } from './position.js';

export interface StoredFact {
  readonly row: FactRow;
  readonly fact: Fact;
}

/** What is known under a subject: its facts, and the payment if they amount to one. Never changes: each change makes another. */
export class KnownPayment {
  readonly row: PaymentRow | undefined;
  readonly facts: ReadonlyMap<string, StoredFact>;
  /** Whether its provider can be asked. */
  readonly isAsked: boolean;
  #position: Position | undefined;

  constructor(
    row: PaymentRow | undefined,
    facts: ReadonlyMap<string, StoredFact>,
    { isAsked = false, standing }: { isAsked?: boolean; standing?: Position } = {},
  ) {
    this.row = row;
    this.facts = facts;
    this.isAsked = isAsked;
    this.#position = standing;
  }

  static of(row: PaymentRow | null, facts: readonly FactRow[], isAsked = false): KnownPayment {
    const stored = facts.map((fact): [string, StoredFact] => [fact.fact_id, { row: fact, fact: factOf(fact) }]);
    return new KnownPayment(row ?? undefined, new Map(stored), { isAsked });
  }

  /** As it is after a change. */
  next(row: PaymentRow | undefined, facts: ReadonlyMap<string, StoredFact>, standing?: Position): KnownPayment {
    return new KnownPayment(row, facts, { isAsked: this.isAsked, ...(standing && { standing }) });
  }

  /** The set that the position follows from: neither what contradicts a member nor what was discarded is one. */
  get members(): Fact[] {
    return [...this.facts.values()].filter(({ row }) => isMember(row)).map(({ fact }) => fact);
  }

  /** With facts of which nothing has come yet. */
  with(added: readonly Fact[]): { position(options: PositionOptions): Position } {
    return { position: (options) => position([...this.members, ...added], options) };
  }

  position(options: PositionOptions): Position {
    this.#position ??= position(this.members, options);
    return this.#position;
  }
}

export function isMember({ contradicts, outcome }: FactRow): boolean {
  return !contradicts && outcome !== 'discarded';
}

export const NOTHING_KNOWN = new KnownPayment(undefined, new Map());

/**
 * Whether two tellings under one identity say the same. Where the provider's own event is the identity, all of it counts; where
 * the identity is made of what happened, as with stripe, two events may tell it at two times and in other words.
 */
export function saysTheSame(known: FactRow, fact: Fact, eventId: string | undefined): boolean {
  const { occurred_at, more, ...money } = factColumns(fact);
  if (eventId !== undefined) return contains(known, { ...money, occurred_at, more });
  const { sequence: _, reason: __, ...moreMoney } = more;
  return contains(known, { ...money, more: moreMoney });
}

/** Of plain values and objects; one that is undefined is none. */
function contains(whole: object, part: object): boolean {
  return Object.entries(part).every(([name, value]) => {
    const other = (whole as Record<string, unknown>)[name];
    if (typeof value === 'object' && value !== null) return contains(other as object, value as object);
    return other === value;
  });
}
