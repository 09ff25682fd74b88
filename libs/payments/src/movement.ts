import type { Fact, FactType } from './facts.js';

/** A capture, a refund or a settlement: all that facts say of one object. */
export interface Movement {
  objectRef: string | null;
  readonly first: Fact;
  /** The merchant's request for it. */
  claim?: Fact;
  /** The first provider's fact that says that it happened. */
  told?: Fact;
  /** What undid it. A failure stands, whenever success is told. */
  failure?: Fact;
  /** Minor units. Absent: all that is left to be moved. */
  amount?: bigint;
  fee: bigint;
  readonly facts: Fact[];
}

export type MovementStatus = 'requested' | 'succeeded' | 'failed' | 'reversed';

/** `requested`: nobody but the merchant says so yet; its money counts all the same. */
export function statusOf({ failure, told }: Movement): MovementStatus {
  if (failure) return failure.type === 'refund_reversed' ? 'reversed' : 'failed';
  return told ? 'succeeded' : 'requested';
}

export function begin(fact: Fact, happened: FactType): Movement {
  const movement: Movement = { objectRef: fact.objectRef ?? null, first: fact, fee: 0n, facts: [] };
  tell(movement, fact, happened);
  return movement;
}

/** Own amounts of one object are told again, not added; the provider's word counts more than the request's. */
export function tell(movement: Movement, fact: Fact, happened: FactType): void {
  movement.facts.push(fact);
  if (fact.fee !== undefined && fact.fee > movement.fee) movement.fee = fact.fee;
  if (fact.type !== happened) {
    movement.failure ??= fact;
    movement.amount ??= fact.amount;
  } else if (fact.source === 'request') {
    movement.claim ??= fact;
    movement.amount ??= fact.amount;
  } else {
    const isFirst = movement.told === undefined || movement.amount === undefined;
    if (fact.amount !== undefined && (isFirst || fact.amount > (movement.amount ?? 0n))) movement.amount = fact.amount;
    movement.told ??= fact;
  }
}
