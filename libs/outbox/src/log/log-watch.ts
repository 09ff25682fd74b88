import type { Clock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { findNews } from './event-log.js';
import type { CommitHints } from './hints.js';
import { isBefore, type Position } from './position.js';

export interface LogWatchOptions {
  /** How often the log is looked at while somebody waits. */
  pollMs: number;
  /** Who may follow logs at once, in this process. */
  followers: number;
  followersPerMerchant: number;
}

/** Shortest time from one look to the next. */
const HINTED_POLL_MS = 5;
const POLL_TIMEOUT_MS = 2_000;
/** After a look that failed: the database has other worries than those who wait. */
const FAILED_POLL_DELAY_MS = 1_000;

interface Waiter {
  readonly after: Position;
  end(isNews: boolean): void;
}

/**
 * Wakes those who wait for a merchant's next event. One query answers for all of them, and only while somebody waits; nobody
 * holds a connection or a transaction. A commit of this process is looked for at once, others' within `pollMs`.
 */
export class LogWatch {
  readonly #database: Database;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #options: LogWatchOptions;
  readonly #waiters = new Map<bigint, Set<Waiter>>();
  readonly #followers = new Map<bigint, number>();
  #followerCount = 0;
  #polls = 0;
  #timer: NodeJS.Timeout | undefined;
  #isPolling = false;
  /** Until then the log is looked at every HINTED_POLL_MS. */
  #hurryUntilMs = 0;
  #isClosed = false;

  constructor(
    parts: { database: Database; hints: CommitHints; logger: Logger; clock: Clock },
    options: LogWatchOptions,
  ) {
    this.#database = parts.database;
    this.#logger = parts.logger;
    this.#clock = parts.clock;
    this.#options = options;
    parts.hints.listen((merchantIds) => {
      if (merchantIds.some((merchantId) => this.#waiters.has(merchantId))) this.#hurry();
    });
  }

  /** Once closed nobody waits any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get followers(): number {
    return this.#followerCount;
  }

  /** Looks into the log, since the process began. */
  get polls(): number {
    return this.#polls;
  }

  /** Takes a place for as long as somebody may wait; answers how to give it back. Throws `overloaded` when there is none. */
  follow(merchantId: bigint): () => void {
    const own = this.#followers.get(merchantId) ?? 0;
    if (own >= this.#options.followersPerMerchant || this.#followerCount >= this.#options.followers) {
      throw new ProblemError('overloaded', 'Too many requests wait for events.', { retryAfterS: 1 });
    }
    this.#followerCount += 1;
    this.#followers.set(merchantId, own + 1);
    let isFollowing = true;
    return () => {
      if (!isFollowing) return;
      isFollowing = false;
      this.#followerCount -= 1;
      const left = (this.#followers.get(merchantId) ?? 0) - 1;
      if (left > 0) this.#followers.set(merchantId, left);
      else this.#followers.delete(merchantId);
    };
  }

  /** Whether there is something behind `after`, as soon as there is; false once `withinMs` are over or the signal came. */
  wait(
    merchantId: bigint,
    after: Position,
    { withinMs, signal }: { withinMs: number; signal: AbortSignal },
  ): Promise<boolean> {
    if (this.#isClosed || signal.aborted || withinMs <= 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiter: Waiter = {
        after,
        end: (isNews) => {
          clearTimeout(timer);
          signal.removeEventListener('abort', giveUp);
          this.#remove(merchantId, waiter);
          resolve(isNews);
        },
      };
      const giveUp = () => waiter.end(false);
      const timer = setTimeout(giveUp, withinMs);
      signal.addEventListener('abort', giveUp);
      const waiters = this.#waiters.get(merchantId) ?? new Set();
      this.#waiters.set(merchantId, waiters.add(waiter));
      this.#schedule(this.#delayMs());
    });
  }

  /** Ends all waits, and each later one at once. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const waiters of [...this.#waiters.values()]) for (const waiter of [...waiters]) waiter.end(false);
  }

  #remove(merchantId: bigint, waiter: Waiter): void {
    const waiters = this.#waiters.get(merchantId);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(merchantId);
  }

  /** What was committed just now may have to wait for an older transaction, so that one look is not enough. */
  #hurry(): void {
    const isHurrying = this.#clock.monotonic() < this.#hurryUntilMs;
    this.#hurryUntilMs = this.#clock.monotonic() + this.#options.pollMs;
    if (isHurrying || this.#isPolling) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#schedule(0);
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed || this.#isPolling || this.#timer || this.#waiters.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#isPolling = true;
      this.#poll()
        .catch((error: unknown) => {
          this.#logger.warn({ err: error }, 'the log could not be looked at for those who wait');
          return FAILED_POLL_DELAY_MS;
        })
        .then((nextMs) => {
          this.#isPolling = false;
          this.#schedule(nextMs);
        });
    }, delayMs);
  }

  /** Returns when to look again. */
  async #poll(): Promise<number> {
    if (this.#waiters.size === 0) return 0;
    this.#polls += 1;
    const positions = new Map([...this.#waiters].map(([merchantId, waiters]) => [merchantId, firstOf(waiters)]));
    for (const merchantId of await findNews(this.#database, positions, Deadline.after(POLL_TIMEOUT_MS))) {
      for (const waiter of [...(this.#waiters.get(merchantId) ?? [])]) waiter.end(true);
    }
    return this.#delayMs();
  }

  #delayMs(): number {
    return this.#clock.monotonic() < this.#hurryUntilMs ? HINTED_POLL_MS : this.#options.pollMs;
  }
}

/** Who waits further on is woken along, finds nothing and waits again: that is rare, a second query would not be. */
function firstOf(waiters: Iterable<Waiter>): Position {
  return [...waiters].map(({ after }) => after).reduce((first, after) => (isBefore(after, first) ? after : first));
}
