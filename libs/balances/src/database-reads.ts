import type { Span } from '@opentelemetry/api';
import { ProblemError } from '#kernel/problem.js';
import { Deadline } from '#platform/deadline.js';
import { shareWork, step } from '#platform/tracing.js';
import { type AccountKey, type CachedBalance, cacheKey } from './cached-balance.js';

/** Answers by `cacheKey`; an account that does not exist is absent. */
export type LoadBalances = (accounts: readonly AccountKey[], deadline: Deadline) => Promise<Map<string, CachedBalance>>;

export interface DatabaseReadsOptions {
  /** Queries under way at once. */
  concurrency: number;
  /** Accounts that may wait for their query. */
  queue: number;
}

/** Accounts in one query. */
const BATCH = 200;

interface Waiting {
  readonly account: AccountKey;
  deadline: Deadline;
  /** Of those who wait. */
  readonly spans: Span[];
  readonly answer: Promise<CachedBalance | undefined>;
  resolve(balance: CachedBalance | undefined): void;
  reject(error: unknown): void;
}

/**
 * The narrow door to the database: few queries at once, many accounts in each. Whoever asks joins a read that has not
 * been sent yet, never one that is under way: that one may have seen the account before the asker came.
 */
export class DatabaseReads {
  readonly #load: LoadBalances;
  readonly #options: DatabaseReadsOptions;
  readonly #waiting = new Map<string, Waiting>();
  #underWay = 0;
  #queries = 0;
  #accounts = 0;

  constructor(load: LoadBalances, options: DatabaseReadsOptions) {
    this.#load = load;
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Since the process began. */
  get counts(): { queries: number; accounts: number } {
    return { queries: this.#queries, accounts: this.#accounts };
  }

  /** Rejects with `overloaded` when too many accounts wait. */
  read(account: AccountKey, deadline: Deadline): Promise<CachedBalance | undefined> {
    const key = cacheKey(account);
    let waiting = this.#waiting.get(key);
    if (waiting) {
      if (deadline.remainingMs > waiting.deadline.remainingMs) waiting.deadline = deadline;
    } else {
      if (this.#waiting.size >= this.#options.queue) {
        return Promise.reject(new ProblemError('overloaded', 'Too many balances are being read.', { retryAfterS: 1 }));
      }
      const { promise, resolve, reject } = Promise.withResolvers<CachedBalance | undefined>();
      waiting = { account, deadline, spans: [], answer: promise, resolve, reject };
      this.#waiting.set(key, waiting);
      // One turn later, so that what one request asks for goes together.
      queueMicrotask(() => this.#send());
    }
    const { answer, spans } = waiting;
    return step(deadline.span, 'load balance', {}, (span) => {
      if (span) spans.push(span);
      return deadline.race(answer);
    });
  }

  #send(): void {
    while (this.#underWay < this.#options.concurrency && this.#waiting.size > 0) {
      const batch = new Map([...this.#waiting].slice(0, BATCH));
      for (const key of batch.keys()) this.#waiting.delete(key);
      this.#underWay += 1;
      this.#answer(batch).finally(() => {
        this.#underWay -= 1;
        this.#send();
      });
    }
  }

  async #answer(batch: ReadonlyMap<string, Waiting>): Promise<void> {
    this.#queries += 1;
    this.#accounts += batch.size;
    const deadlines = [...batch.values()].map(({ deadline }) => deadline.remainingMs);
    // The query shows below the first of those who wait for it; the others' spans link to that.
    const [leader, ...others] = [...batch.values()].flatMap(({ spans }) => spans);
    if (leader) for (const span of others) shareWork(span, leader);
    try {
      const balances = await this.#load(
        [...batch.values()].map(({ account }) => account),
        Deadline.after(Math.max(1, ...deadlines)).under(leader),
      );
      for (const [key, waiting] of batch) waiting.resolve(balances.get(key));
    } catch (error) {
      for (const waiting of batch.values()) waiting.reject(error);
    }
  }
}
