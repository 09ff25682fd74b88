import type { Fact } from '../../../libs/payments/src/facts.js';
import type { Quarter } from '../../night/quarter.js';
import type { ShopPlan } from '../../night/shops.js';
import type { Story } from '../../night/stories.js';

/** What there is to reconcile, told from the stories alone: no line of it is the service's, or the simulator's that writes the reports. */

export type ItemKind = 'payment' | 'refund' | 'dispute' | 'dispute_reversed';

/** Money that moved, and stayed where it went unless it is `undone`. */
export interface Item {
  readonly ref: string;
  readonly object: string;
  readonly kind: ItemKind;
  readonly currency: string;
  /** Signed as the merchant sees it. */
  readonly amount: bigint;
  readonly atMs: number;
  /** What the processor keeps of it. */
  readonly fee: bigint;
  readonly isUndone: boolean;
  /** A dispute that was won is never missing: what its provider moves meanwhile is its own affair. */
  readonly isWon: boolean;
  /** Facts without which nobody knows of it, and by which it is undone. */
  readonly causes: readonly (readonly Fact[])[];
  readonly undoing: readonly Fact[];
  /** What a dispute has cost. */
  readonly charges: readonly Fact[];
}

type Types = readonly Fact['type'][];
const UNDO: Record<'payment' | 'refund', Types> = {
  payment: ['capture_failed'],
  refund: ['refund_failed', 'refund_reversed'],
};

const sum = (amounts: readonly bigint[]): bigint => amounts.reduce((total, amount) => total + amount, 0n);

export function itemsOf(story: Story): Item[] {
  const facts = story.happenings.map(({ fact }) => fact);
  const of = (type: Fact['type'], object?: string): Fact[] =>
    facts.filter((fact) => fact.type === type && (object === undefined || fact.objectRef === object));
  const captures = of('captured');
  const item = (kind: ItemKind, fact: Fact, more: Partial<Item> = {}): Item => {
    const [object = '', size] = [fact.objectRef, fact.amount ?? 0n];
    const own = { ref: story.ref, object, kind, currency: story.currency, atMs: fact.occurredAtMs, fee: 0n };
    const undoing = kind in UNDO ? UNDO[kind as 'payment'].flatMap((type) => of(type, object)) : [];
    const amount = kind === 'payment' ? size : -size;
    // Whatever is told before the capture waits for it.
    const causes = kind === 'payment' ? [[fact]] : [[fact], captures];
    return { ...own, amount, causes, undoing, isUndone: undoing.length > 0, isWon: false, charges: [], ...more };
  };
  const disputes = of('dispute_opened')
    .filter(({ stage }) => stage !== 'inquiry')
    .flatMap((fact) => {
      const [won, ...more] = of('dispute_won', fact.objectRef);
      if (more.length > 0) throw new Error(`${story.ref} is won twice`);
      const charges = of('dispute_fee', fact.objectRef);
      const fee = sum(charges.map((one) => one.fee ?? 0n));
      const lost = item('dispute', fact, { fee, charges, isWon: won !== undefined });
      if (!won) return [lost];
      const causes = [...lost.causes, [won]];
      const back = { amount: -lost.amount, charges: [], fee: 0n, atMs: won.occurredAtMs, isWon: true, causes };
      return [lost, item('dispute_reversed', fact, back)];
    });
  const all = [
    ...captures.map((fact) => item('payment', fact)),
    ...of('refunded').map((fact) => item('refund', fact)),
    ...disputes,
  ];
  return withFees(all, of('settled'));
}

/** A payment's first capture bears the fee of them all: what was told of it, or a percent. */
function withFees(items: readonly Item[], settled: readonly Fact[]): Item[] {
  const captures = items.filter(({ kind, isUndone }) => kind === 'payment' && !isUndone);
  const told = sum(settled.map(({ fee }) => fee ?? 0n));
  const fee = settled.length > 0 ? told : sum(captures.map(({ amount }) => amount)) / 100n;
  return items.map((item) => (item === captures[0] ? { ...item, fee } : item));
}

/** In which night each fact of a shop is told. */
export function toldIn({ steps }: Quarter, shop: ShopPlan): Map<string, string> {
  const told = new Map<string, string>();
  for (const { date, evenings } of steps) for (const { id } of evenings.get(shop)?.facts ?? []) told.set(id, date);
  return told;
}

/** What somebody who has been told so much knows of an item. */
export function isKnown({ causes }: Item, told: ReadonlyMap<string, string>, until: string): boolean {
  return causes.every((one) => one.some(({ id }) => (told.get(id) ?? '9') <= until));
}

export function isKnownUndone({ undoing }: Item, told: ReadonlyMap<string, string>, until: string): boolean {
  return undoing.some(({ id }) => (told.get(id) ?? '9') <= until);
}

/** What the nights settled of payments, refunds and disputes: all that was told, and of it what took effect before the last day was over. */
export function settledSums(stories: readonly Story[], endMs: number): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const { currency, happenings } of stories) {
    if (!happenings.some(({ fact }) => fact.type === 'captured')) continue;
    for (const { fact, move } of happenings)
      if (move && fact.occurredAtMs < endMs) sums.set(currency, (sums.get(currency) ?? 0n) + move.amount);
  }
  return sums;
}

const DAY_MS = 86_400_000;
/** What the processor takes for each row that it books. */
const FEE_PER_ROW = 10n;

export interface Paid {
  readonly paid: ReadonlyMap<string, bigint>;
  /** What the processor keeps, but for what disputes cost. */
  readonly fees: ReadonlyMap<string, bigint>;
}

/** What the processor pays in by the end of a day (UTC), day by day: nothing as long as it comes to less than nothing. */
export function paidIn(items: readonly Item[], untilMs: number): Paid {
  const [paid, left, fees] = [new Map<string, bigint>(), new Map<string, bigint>(), new Map<string, bigint>()];
  const booked = items.filter(({ isUndone, atMs }) => !isUndone && atMs < untilMs);
  const days = Map.groupBy(booked, ({ atMs }) => Math.floor(atMs / DAY_MS));
  for (const [, of] of [...days].sort(([one], [other]) => one - other)) {
    for (const { kind, currency, amount, fee } of of) {
      add(left, currency, amount - fee);
      if (kind !== 'dispute') add(fees, currency, fee);
    }
    const [first] = of.toSorted((one, other) => one.atMs - other.atMs || (one.ref < other.ref ? -1 : 1)) as [Item];
    const fee = FEE_PER_ROW * BigInt(of.length);
    add(left, first.currency, -fee);
    add(fees, first.currency, fee);
    for (const [currency, amount] of left) {
      if (amount <= 0n) continue;
      add(paid, currency, amount);
      left.set(currency, 0n);
    }
  }
  return { paid, fees };
}

function add(to: Map<string, bigint>, currency: string, amount: bigint): void {
  to.set(currency, (to.get(currency) ?? 0n) + amount);
}
