import { FairQueue } from '#platform/fair-queue.js';
import type { Outcome, Submission } from './group-extension.js';

/** A submission that waits for its group. */
export interface Waiting {
  submission: Submission;
  /** In postings of two entries. */
  cost: number;
  /** As `spanTime` tells it. */
  enqueuedAt: number;
  /** Tries that it has gone along with. */
  attempts: number;
  /** Those of which it was left behind although it was alone with its merchant's. */
  missed: number;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

/**
 * `shared`: a group takes from all merchants in turn. `apart`: one merchant by itself, who would hold up the others: with a request that fills
 * a group, or with a lock that another process holds.
 */
export type LaneKind = 'shared' | 'apart';

export interface Group {
  readonly kind: LaneKind;
  readonly waiting: readonly Waiting[];
  readonly merchantIds: ReadonlySet<bigint>;
}

export interface LinesOptions {
  /** Shared ones. */
  lanes: number;
  /** Requests that may wait in all, for their group or for their balances to be published. */
  capacity: number;
  /** Of one merchant. */
  merchantCapacity: number;
  /** Postings in one group. */
  groupSize: number;
  weightOf: (merchantId: bigint) => number;
}

/** Part of a group from which a request is large: others would wait for it nearly as long as for all of a group. */
const LARGE = 1 / 4;
/** How long a merchant's requests go apart once another process held its lock for long. */
const APART_MS = 5_000;

/**
 * Who waits for a commit group, by merchant. A merchant has one group in flight at a time, in whichever lane: its next one would wait
 * for the row locks of the first. Where it waits for both kinds of lanes, they take it in turn.
 */
export class Lines {
  readonly #options: LinesOptions;
  readonly #queues: Readonly<Record<LaneKind, FairQueue<bigint, Waiting>>>;
  /** Merchants, and until when their requests go apart; the first to end comes first. */
  readonly #apartUntil = new Map<bigint, number>();
  /** Requests that are committed and whose balances are being published, by merchant. */
  readonly #publishing = new Map<bigint, number>();
  #published = 0;
  /** Merchants in shared groups. */
  #inFlight = 0;
  readonly #counts = { shared: 0, apart: 0, leftBehind: 0 };

  constructor(options: LinesOptions) {
    this.#options = options;
    const { groupSize, weightOf } = options;
    this.#queues = { shared: new FairQueue({ weightOf }), apart: new FairQueue({ weightOf, quantum: groupSize }) };
  }

  /** Requests that wait for their group, or for their balances to be published. */
  get size(): number {
    return this.#queues.shared.size + this.#queues.apart.size + this.#published;
  }

  /** Groups that were taken for each kind of lane, and requests that were left behind, since the process began. */
  get counts(): Readonly<Record<LaneKind | 'leftBehind', number>> {
    return { ...this.#counts };
  }

  /** False: too many wait, of this merchant or in all. */
  push(waiting: Waiting): boolean {
    const { merchantId } = waiting.submission;
    const { shared, apart } = this.#queues;
    const ofMerchant = shared.sizeOf(merchantId) + apart.sizeOf(merchantId) + (this.#publishing.get(merchantId) ?? 0);
    if (this.size >= this.#options.capacity || ofMerchant >= this.#options.merchantCapacity) return false;
    const goesApart = waiting.cost > this.#options.groupSize * LARGE || this.#isApart(merchantId);
    (goesApart ? apart : shared).push(merchantId, waiting, waiting.cost);
    return true;
  }

  /** The next group of a lane. Until `done` its merchants have no other. */
  take(kind: LaneKind): Group | undefined {
    const queue = this.#queues[kind];
    const most = this.#mostMerchants(kind);
    const waiting: Waiting[] = [];
    const merchantIds = new Set<bigint>();
    const passed: bigint[] = [];
    let cost = 0;
    // Whose turn is next is not asked without need: turns pass by whoever saves for a large request.
    for (let next = queue.peek(); next; next = cost < this.#options.groupSize ? queue.peek() : undefined) {
      if (merchantIds.size >= most && !merchantIds.has(next.key)) {
        queue.hold(next.key);
        passed.push(next.key);
        continue;
      }
      if (waiting.length > 0 && cost + next.cost > this.#options.groupSize) break;
      queue.take();
      waiting.push(next.item);
      merchantIds.add(next.key);
      cost += next.cost;
    }
    for (const merchantId of passed) queue.release(merchantId);
    if (waiting.length === 0) return undefined;
    for (const merchantId of merchantIds) for (const each of Object.values(this.#queues)) each.hold(merchantId);
    if (kind === 'shared') this.#inFlight += merchantIds.size;
    this.#counts[kind] += 1;
    return { kind, waiting, merchantIds };
  }

  /** The group's merchants may have their next one: where they wait for the other kind of lane, that one first. */
  done({ kind, merchantIds }: Group): void {
    const [own, other] = kind === 'shared' ? (['shared', 'apart'] as const) : (['apart', 'shared'] as const);
    if (kind === 'shared') this.#inFlight -= merchantIds.size;
    for (const merchantId of merchantIds) {
      this.#queues[other].release(merchantId);
      if (this.#queues[other].sizeOf(merchantId) === 0) this.#queues[own].release(merchantId);
    }
  }

  /** Those of a group whose merchant's lock another process held for longer than the group waited. They come first again, apart. */
  leaveBehind(waiting: readonly Waiting[]): void {
    this.#counts.leftBehind += waiting.length;
    for (const one of waiting.toReversed()) {
      this.#queues.apart.putBack(one.submission.merchantId, one, one.cost);
      this.#goApart(one.submission.merchantId);
    }
  }

  /** Those of one merchant's group of which some one cannot be committed: each apart, in a group of its own. */
  leaveOneByOne(waiting: readonly Waiting[]): void {
    for (const one of waiting) one.cost = Math.max(one.cost, this.#options.groupSize);
    this.leaveBehind(waiting);
  }

  /** They are committed and not answered yet: they fill the lines until `answered`. */
  publishing(waiting: readonly Waiting[]): void {
    this.#count(waiting, 1);
  }

  answered(waiting: readonly Waiting[]): void {
    this.#count(waiting, -1);
  }

  /**
   * A lane has its share of the merchants that are there, waiting or in flight. One that took all who wait would have them ever after: the
   * others would find the few that it had left.
   */
  #mostMerchants(kind: LaneKind): number {
    if (kind === 'apart') return 1;
    return Math.ceil((this.#queues.shared.ready + this.#inFlight) / this.#options.lanes);
  }

  /** What comes of the merchant soon goes apart, too. */
  #goApart(merchantId: bigint): void {
    const now = performance.now();
    for (const [first, untilMs] of this.#apartUntil) {
      if (untilMs > now) break;
      this.#apartUntil.delete(first);
    }
    this.#apartUntil.delete(merchantId);
    this.#apartUntil.set(merchantId, now + APART_MS);
  }

  #isApart(merchantId: bigint): boolean {
    return (this.#apartUntil.get(merchantId) ?? 0) > performance.now();
  }

  #count(waiting: readonly Waiting[], by: 1 | -1): void {
    this.#published += by * waiting.length;
    for (const { submission } of waiting) {
      const count = (this.#publishing.get(submission.merchantId) ?? 0) + by;
      if (count === 0) this.#publishing.delete(submission.merchantId);
      else this.#publishing.set(submission.merchantId, count);
    }
  }
}
