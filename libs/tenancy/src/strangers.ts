import { type Clock, systemClock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';
import { type ClientAddresses, networkOf, type Peer } from '#platform/client-address.js';
import type { Deadline } from '#platform/deadline.js';
import { FairQueue } from '#platform/fair-queue.js';
import { Rates } from '#platform/rates.js';

export interface StrangersOptions {
  addresses: ClientAddresses;
  /** Failures of one address: an IPv4 address, or a /64 of IPv6. */
  failuresPerSecond: number;
  failuresBurst: number;
  /** Failures of all addresses. */
  failuresInAllPerSecond: number;
  /** Look-ups in PostgreSQL at once, and those that may wait for one: of one address, and in all. */
  lookups: number;
  lookupsWaiting: number;
  lookupsWaitingInAll: number;
}

/** Addresses whose failures are remembered. */
const ADDRESSES = 50_000;
/** Of all, as seconds of their rate. */
const BURST_IN_ALL_S = 5;
const ALL = 'all';

/** What a stranger tries, taken for a failure until it has succeeded: a thousand tries at once are a thousand. */
export interface Attempt {
  /** Once. `isValid`: it was no failure. */
  end(isValid: boolean): void;
}

/**
 * Bounds what is done for whoever is not known yet: for keys that nobody has shown to this process before, and for signatures
 * that are still to be checked. Keys that were valid before pass by all of it. Failures are counted by address, so that who
 * guesses is refused before anything is asked for him; look-ups go by address in turn, so that a flood waits for itself.
 */
export class Strangers {
  readonly counts = { valid: 0, notValid: 0, refused: { address: 0, all: 0, waiting: 0 } };
  readonly #options: StrangersOptions;
  readonly #ofAddress: Rates<string>;
  readonly #inAll: Rates<string>;
  readonly #waiting: FairQueue<string, PromiseWithResolvers<void>>;
  #lookingUp = 0;

  constructor(options: StrangersOptions, clock: Clock = systemClock) {
    this.#options = options;
    const { failuresPerSecond, failuresBurst, failuresInAllPerSecond } = options;
    this.#ofAddress = new Rates({ perSecond: failuresPerSecond, burst: failuresBurst, keys: ADDRESSES }, clock);
    const burstInAll = failuresInAllPerSecond * BURST_IN_ALL_S;
    this.#inAll = new Rates({ perSecond: failuresInAllPerSecond, burst: burstInAll, keys: 1 }, clock);
    this.#waiting = new FairQueue({ capacity: options.lookupsWaitingInAll, keyCapacity: options.lookupsWaiting });
  }

  get lookingUp(): number {
    return this.#lookingUp;
  }

  /** Throws `rate_limited` where too many of the address's, or of everybody's, have failed lately. */
  begin(peer: Peer): Attempt {
    const from = this.#whose(peer);
    const waitMs = this.#ofAddress.waitMs(from);
    if (waitMs > 0) throw this.#refuse('address', waitMs);
    // Whoever has not failed lately is not refused for what others do.
    const waitInAllMs = this.#ofAddress.isFresh(from) ? 0 : this.#inAll.waitMs(ALL);
    if (waitInAllMs > 0) throw this.#refuse('all', waitInAllMs);
    this.#ofAddress.count(from);
    this.#inAll.count(ALL);
    return { end: (isValid) => this.#end(from, isValid) };
  }

  /** Looks up in the address's turn. Throws `rate_limited` where too many of its look-ups wait, `overloaded` where of everybody's. */
  async lookUp<T>(peer: Peer, deadline: Deadline, find: () => Promise<T>): Promise<T> {
    await this.#enter(this.#whose(peer), deadline);
    try {
      return await find();
    } finally {
      this.#leave();
    }
  }

  #whose(peer: Peer): string {
    return networkOf(this.#options.addresses.of(peer));
  }

  #end(from: string, isValid: boolean): void {
    this.counts[isValid ? 'valid' : 'notValid'] += 1;
    if (!isValid) return;
    this.#ofAddress.giveBack(from);
    this.#inAll.giveBack(ALL);
  }

  #refuse(by: keyof Strangers['counts']['refused'], waitMs: number): ProblemError {
    this.counts.refused[by] += 1;
    const whose = by === 'all' ? 'all addresses' : 'this address';
    return new ProblemError('rate_limited', `Too many keys and signatures of ${whose} were not valid.`, {
      retryAfterS: Math.ceil(waitMs / 1_000),
    });
  }

  async #enter(from: string, deadline: Deadline): Promise<void> {
    if (this.#lookingUp < this.#options.lookups) {
      this.#lookingUp += 1;
      return;
    }
    const turn = Promise.withResolvers<void>();
    const place = this.#waiting.push(from, turn);
    if (!place) throw this.#noRoom(from);
    try {
      await deadline.race(turn.promise);
    } catch (error) {
      // Its turn came at the same moment.
      if (!this.#waiting.remove(place)) this.#leave();
      throw error;
    }
  }

  #noRoom(from: string): ProblemError {
    this.counts.refused.waiting += 1;
    const isItsOwn = this.#waiting.sizeOf(from) >= this.#options.lookupsWaiting;
    if (!isItsOwn) return new ProblemError('overloaded', 'Too many keys are being looked up.', { retryAfterS: 1 });
    return new ProblemError('rate_limited', 'Too many keys of this address are being looked up.', { retryAfterS: 1 });
  }

  /** Hands its place to whose turn it is. */
  #leave(): void {
    const next = this.#waiting.take();
    if (next) next.resolve();
    else this.#lookingUp -= 1;
  }
}
