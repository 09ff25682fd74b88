import { DISPUTE_STAGES, type DisputeStage, type Fact } from './facts.js';
import { byOwnAccount } from './known.js';

export type DisputeOutcome = 'open' | 'won' | 'lost';

/** All that facts say of one dispute. Money and outcome are told by separate facts. */
export interface Dispute {
  readonly objectRef: string | null;
  /** Index in DISPUTE_STAGES of the highest stage told; -1 while none is. */
  stage: number;
  /** What was said of its outcome. */
  readonly decided: Fact[];
  /** Minor units. Absent: all that was captured. What opened it says it best. */
  opened?: bigint;
  mentioned?: bigint;
  withdrawn: Told;
  reinstated: Told;
  fees: Told;
  readonly facts: Fact[];
}

/** Amounts of a dispute that were told, by the stage that they were told for: a second chargeback takes the money once more. */
interface Told {
  readonly byStage: Map<DisputeStage | undefined, bigint>;
  /** The highest that it was said to come to so far. */
  total: bigint;
  /** Told without an amount: all of the dispute's. */
  whole: boolean;
}

export interface Disputes {
  readonly all: readonly Dispute[];
  /** Facts that might be of several disputes, or of none that is known. */
  readonly unplaced: readonly Fact[];
}

/** `facts`: all `dispute_*`, in their own order. */
export function disputesOf(facts: readonly Fact[]): Disputes {
  const all: Dispute[] = [];
  if (facts.length === 0) return { all, unplaced: [] };
  const byRef = new Map<string, Dispute>();
  const later = openAll(facts, all, byRef);
  const byAmount = Map.groupBy(all, ({ opened, mentioned }) => opened ?? mentioned);
  const unplaced: Fact[] = [];
  for (const fact of later) {
    const dispute =
      fact.objectRef === undefined ? onlyOne(all, byAmount.get(amountIn(fact) ?? -1n)) : byRef.get(fact.objectRef);
    if (dispute) tell(dispute, fact);
    else unplaced.push(fact);
  }
  return { all, unplaced };
}

/** What begins disputes; returns the facts that only go on with one. */
function openAll(facts: readonly Fact[], all: Dispute[], byRef: Map<string, Dispute>): Fact[] {
  const later: Fact[] = [];
  const seen = new Map<string, number>();
  const unnamed = new Map<string, Dispute>();
  for (const fact of facts) {
    const { objectRef, amount, type } = fact;
    const begins = type === 'dispute_opened' || (objectRef !== undefined && amountIn(fact) !== undefined);
    if (!begins) later.push(fact);
    else if (objectRef !== undefined) tell(findOrAdd(byRef, objectRef, objectRef, all), fact);
    else {
      // Without a reference, the same amount at another stage is the same dispute; at the same stage, another one.
      const atStage = `${amount} ${fact.stage}`;
      const count = seen.get(atStage) ?? 0;
      seen.set(atStage, count + 1);
      tell(findOrAdd(unnamed, `${amount} ${count}`, null, all), fact);
    }
  }
  return later;
}

function findOrAdd(among: Map<string, Dispute>, key: string, objectRef: string | null, all: Dispute[]): Dispute {
  const known = among.get(key);
  if (known) return known;
  const dispute: Dispute = {
    objectRef,
    stage: -1,
    decided: [],
    withdrawn: nothingTold(),
    reinstated: nothingTold(),
    fees: nothingTold(),
    facts: [],
  };
  among.set(key, dispute);
  all.push(dispute);
  return dispute;
}

function onlyOne(all: readonly Dispute[], ofAmount: readonly Dispute[] | undefined): Dispute | undefined {
  if (all.length === 1) return all[0];
  return ofAmount?.length === 1 ? ofAmount[0] : undefined;
}

/** What a fact says of the disputed amount; a fee says nothing of it. */
function amountIn({ type, amount }: Fact): bigint | undefined {
  return type === 'dispute_fee' ? undefined : amount;
}

function tell(dispute: Dispute, fact: Fact): void {
  dispute.facts.push(fact);
  dispute.stage = Math.max(dispute.stage, rankOf(fact.stage));
  const amount = amountIn(fact);
  if (fact.type === 'dispute_opened') dispute.opened = largest(dispute.opened, amount);
  else dispute.mentioned = largest(dispute.mentioned, amount);
  if (fact.type === 'dispute_won' || fact.type === 'dispute_lost') dispute.decided.push(fact);
  else if (fact.type === 'dispute_funds_withdrawn') addTold(dispute.withdrawn, fact, fact.amount);
  else if (fact.type === 'dispute_funds_reinstated') addTold(dispute.reinstated, fact, fact.amount);
  if (fact.type === 'dispute_fee') addTold(dispute.fees, fact, fact.fee ?? fact.amount ?? 0n);
  else if (fact.fee !== undefined) addTold(dispute.fees, fact, fact.fee);
}

/**
 * A lost one can be won next day: whatever happened last stands. Where outcomes say of which stage they are, those of an earlier one
 * are over, whenever they happened: not everybody signs when.
 */
function outcomeOf({ decided }: Dispute): DisputeOutcome {
  let highest = -1;
  for (const { stage } of decided) highest = Math.max(highest, rankOf(stage));
  let last: Fact | undefined;
  for (const fact of decided) {
    const isOver = fact.stage !== undefined && rankOf(fact.stage) < highest;
    if (!isOver && (last === undefined || byOwnAccount(last, fact) < 0)) last = fact;
  }
  if (last === undefined) return 'open';
  return last.type === 'dispute_won' ? 'won' : 'lost';
}

function rankOf(stage: DisputeStage | undefined): number {
  return stage === undefined ? -1 : DISPUTE_STAGES.indexOf(stage);
}

function largest(one: bigint | undefined, other: bigint | undefined): bigint | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one > other ? one : other;
}

function nothingTold(): Told {
  return { byStage: new Map(), total: 0n, whole: false };
}

function addTold(told: Told, { amountKind, stage }: Fact, amount: bigint | undefined): void {
  if (amount === undefined) told.whole = true;
  else if (amountKind === 'cumulative') told.total = largest(told.total, amount) ?? 0n;
  else told.byStage.set(stage, largest(told.byStage.get(stage), amount) ?? 0n);
}

/** Minor units; `all`: what "all of it" would be. */
function sumOf({ byStage, total, whole }: Told, all: bigint): bigint {
  let sum = 0n;
  for (const amount of byStage.values()) sum += amount;
  if (total > sum) sum = total;
  return sum === 0n && whole ? all : sum;
}

/** What a dispute comes to when `captured` was captured. An inquiry asks; it takes no money. */
export interface DisputeSums {
  readonly dispute: Dispute;
  readonly amount: bigint;
  readonly stage: DisputeStage;
  readonly outcome: DisputeOutcome;
  /** What the merchant does without while it is open, or because it is lost. */
  readonly taken: bigint;
  readonly fundsWithdrawn: bigint;
  readonly fundsReinstated: bigint;
  readonly fee: bigint;
  /** What the processor has of it in the end; where it tells only the outcome, a lost one takes its amount. */
  readonly atProcessor: bigint;
}

export function sumsOf(dispute: Dispute, captured: bigint): DisputeSums {
  const amount = dispute.opened ?? dispute.mentioned ?? captured;
  const stage = DISPUTE_STAGES[dispute.stage] ?? 'chargeback';
  const outcome = outcomeOf(dispute);
  const taken = stage === 'inquiry' || outcome === 'won' ? 0n : amount;
  const fundsWithdrawn = sumOf(dispute.withdrawn, amount);
  const fundsReinstated = sumOf(dispute.reinstated, amount);
  const tellsFunds = isTold(dispute.withdrawn) || isTold(dispute.reinstated);
  return {
    dispute,
    amount,
    stage,
    outcome,
    taken,
    fundsWithdrawn,
    fundsReinstated,
    fee: sumOf(dispute.fees, 0n),
    atProcessor: tellsFunds ? fundsWithdrawn - fundsReinstated : outcome === 'lost' ? taken : 0n,
  };
}

function isTold({ byStage, total, whole }: Told): boolean {
  return byStage.size > 0 || total > 0n || whole;
}

/** Those whose money was captured, in their order, and those that have to wait until it is. */
export function fitDisputes(
  disputes: readonly Dispute[],
  captured: bigint,
): { fitting: DisputeSums[]; waiting: Dispute[] } {
  const fitting: DisputeSums[] = [];
  const waiting: Dispute[] = [];
  let left = captured;
  for (const dispute of disputes) {
    const sums = sumsOf(dispute, captured);
    const fits = sums.stage === 'inquiry' || (captured > 0n && sums.amount <= captured && sums.taken <= left);
    if (fits) {
      left -= sums.taken;
      fitting.push(sums);
    } else waiting.push(dispute);
  }
  return { fitting, waiting };
}
