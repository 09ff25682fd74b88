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

/** A transfer or a hold as its client meant it. */
export interface Posting {
  readonly kind: 'transfer' | 'hold';
  readonly from: string;
  readonly to: string;
  readonly amount: bigint;
  /** By the client's clock. */
  readonly expiresAt?: Date;
  /** When it was first sent. */
  readonly invokedAt: number;
}

/** What a client meant to do with something that is in the ledger. */
export interface Move {
  readonly kind: 'capture' | 'void' | 'reverse';
  /** Key of what it moves. */
  readonly parent: string;
  /** What the service called that. */
  readonly parentId: string;
  /** Absent: all that is left. */
  readonly amount?: bigint;
  /** Of a capture in part: the rest is released. */
  readonly final?: boolean;
  readonly invokedAt: number;
}

export type Asked = Posting | Move;

/** What clients may be told while processes and servers come and go: they ask again. */
export const EXCUSABLE: ReadonlySet<number> = new Set([409, 429, 503, 504]);

/** One answer that says that something cannot be. */
export interface Refusal {
  readonly key: string;
  readonly code: string;
  readonly completedAt: number;
}

/** What an answer said of balances. */
export interface ToldVersions {
  readonly completedAt: number;
  readonly versions: readonly { readonly account: string; readonly version: number }[];
}

/** A day of a merchant that an operator was told to be settled, with all that this posted. */
export interface SettledDay {
  readonly merchant: string;
  readonly date: string;
  readonly completedAt: number;
}

export interface History {
  readonly reads: Read[];
  readonly acknowledgements: Acknowledgement[];
  readonly refusals: Refusal[];
  /** By key; those that were never answered, too. */
  readonly asked: Map<string, Asked>;
  /** Keys of the transfers of a batch, by the batch's own: all of them or none. */
  readonly batches: Map<string, readonly string[]>;
  readonly settled: SettledDay[];
  readonly payouts: ToldVersions[];
}

/** One entry of the ledger, as it was found after the run. */
export interface LedgerEntry {
  readonly account: string;
  readonly version: number;
  /** What it adds, in the order of a read's sums. */
  readonly adds: Sums;
  readonly transaction: string;
  /** Of the request; empty where nobody asked. */
  readonly key: string;
  /** Key of the hold whose time was over. */
  readonly expiryOf?: string;
  /** What payments and settlements post: what it comes to is not judged here. */
  readonly isAdjustment?: boolean;
}

/** The transaction of a settlement's fees. */
export interface Fees {
  readonly merchant: string;
  readonly date: string;
  readonly transaction: string;
}

/** What the ledger says that an account has in the end. */
export interface Balance {
  readonly account: string;
  readonly version: number;
  readonly sums: Sums;
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
  return {
    reads: [],
    acknowledgements: [],
    refusals: [],
    asked: new Map(),
    batches: new Map(),
    settled: [],
    payouts: [],
  };
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
