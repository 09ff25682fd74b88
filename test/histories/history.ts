/** What clients of a run saw. Times are this process' monotonic milliseconds. */

/** One answered read of a balance. */
export interface Read {
  readonly account: string;
  readonly consistency: 'cached' | 'strong' | 'bounded';
  readonly minVersion: number;
  readonly api: string;
  readonly invokedAt: number;
  readonly completedAt: number;
  readonly version: number;
  /** Posted debits, posted credits, pending debits, pending credits. */
  readonly sums: Sums;
  readonly source: string;
}

export type Sums = readonly [bigint, bigint, bigint, bigint];

/** One answer that says that a posting is in the ledger, replays included. */
export interface Acknowledgement {
  readonly key: string;
  readonly api: string;
  readonly invokedAt: number;
  readonly completedAt: number;
  readonly transaction: string;
  readonly replayed: boolean;
  readonly versions: readonly { readonly account: string; readonly version: number }[];
}

/** A posting as its client meant it. */
export interface Posting {
  readonly from: string;
  readonly to: string;
  readonly amount: bigint;
  /** When it was first sent. */
  readonly invokedAt: number;
}

export interface History {
  readonly reads: Read[];
  readonly acknowledgements: Acknowledgement[];
  /** By key; those that were never answered, too. */
  readonly postings: Map<string, Posting>;
}

/** One entry of the ledger, as it was found after the run. */
export interface LedgerEntry {
  readonly account: string;
  readonly version: number;
  /** What it adds, in the order of a read's sums. */
  readonly adds: Sums;
  readonly transaction: string;
  readonly key: string;
}

export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** A time in which one API may have been without a Redis that the other one reached. */
export interface Cut extends Interval {
  /** The fault that made it so. */
  readonly cause: string;
}

export function emptyHistory(): History {
  return { reads: [], acknowledgements: [], postings: new Map() };
}

export const now = (): number => performance.now();

/** The same numbers for the same seed (mulberry32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** From [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  shuffled<T>(from: readonly T[]): T[] {
    return from
      .map((item) => ({ item, at: this.next() }))
      .sort((left, right) => left.at - right.at)
      .map(({ item }) => item);
  }
}
