import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Clock } from '#kernel/clock.js';
import type { CacheClient, ScriptCall } from './cache-client.js';
import { type AccountKey, cacheKey } from './cached-balance.js';

/** Beyond this the process stops trusting the cache for one TTL instead of remembering each account. */
const CAPACITY = 10_000;
const RETRY_FIRST_MS = 50;
const RETRY_LONGEST_MS = 1_000;
/** Calls of one retry. */
const RETRY_BATCH = 200;
/** With `strict`: how often a waiting answer looks whether it may go. */
const LOOK_EVERY_MS = 50;
const OUTLIVED_ACCOUNTS = 50_000;

export type WritePolicy = 'available' | 'strict';

interface PendingInvalidation {
  readonly version: bigint;
  /** When this process knew of the version: by then it was committed. */
  readonly knownAtMs: number;
  /** Until then it is tried again. */
  readonly untilMs: number;
  /** Invalidate what is older than the version. */
  readonly invalidating: readonly ScriptCall[];
  /** Remove fences that are in the way; only the latest, the sweep finds the others. */
  readonly unfencing: readonly ScriptCall[];
}

/**
 * Versions that this process learnt from PostgreSQL and could not invalidate in the cache, for as long as the cache may serve something older:
 * one TTL. Until then this process itself never answers less, and tries again. All scripts that are sent again
 * here may arrive twice and late.
 */
export class PendingInvalidations {
  readonly #client: CacheClient;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #policy: WritePolicy;
  readonly #accounts = new Map<string, PendingInvalidation>();
  /** With `strict`: versions below which nobody can be served any more, though Redis did not confirm it. */
  readonly #outlived = new LRUCache<string, bigint>({ max: OUTLIVED_ACCOUNTS });
  #blindUntilMs = Number.NEGATIVE_INFINITY;
  #retryMs = RETRY_FIRST_MS;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(client: CacheClient, options: { ttlMs: number; policy: WritePolicy; clock: Clock }) {
    this.#client = client;
    this.#clock = options.clock;
    this.#ttlMs = options.ttlMs;
    this.#policy = options.policy;
  }

  get size(): number {
    return this.#accounts.size;
  }

  /** True while so much is pending that no cached balance is to be trusted. */
  get blind(): boolean {
    return this.#clock.monotonic() < this.#blindUntilMs;
  }

  /** Nothing below this may be answered from the cache. */
  floorOf(account: AccountKey): bigint {
    const pending = this.#accounts.get(cacheKey(account));
    return pending && pending.knownAtMs + this.#ttlMs > this.#clock.monotonic() ? pending.version : 0n;
  }

  /** `calls` invalidate what is older than the version; or, with version 0, remove a fence that is in the way. */
  add(account: AccountKey, version: bigint, calls: readonly ScriptCall[]): void {
    const now = this.#clock.monotonic();
    const key = cacheKey(account);
    const before = this.#accounts.get(key);
    if (!before && this.#accounts.size >= CAPACITY) {
      this.#blindUntilMs = now + this.#ttlMs;
      return;
    }
    const untilMs = now + this.#ttlMs;
    if (!before) {
      this.#accounts.set(key, { version, knownAtMs: now, untilMs, invalidating: calls, unfencing: [] });
    } else {
      // A newer version makes the invalidation for the older one needless; another token's fence does not go by itself.
      const [newer, older] = version >= before.version ? [calls, before.invalidating] : [before.invalidating, calls];
      this.#accounts.set(key, {
        version: version > before.version ? version : before.version,
        knownAtMs: version > before.version ? now : before.knownAtMs,
        untilMs,
        invalidating: newer,
        unfencing: [...before.unfencing, ...older.filter(({ script }) => script !== 'invalidate')].slice(-RETRY_BATCH),
      });
    }
    this.#schedule();
  }

  /**
   * Before a version that was added is handed to anybody. With `available` it resolves at once. With `strict` when nobody
   * can be served less any more: the invalidation was confirmed after all, or one TTL has passed, since whatever Redis may still serve rests on
   * a lease or fence from before the version's COMMIT.
   */
  async outlive(account: AccountKey, version: bigint): Promise<void> {
    const key = cacheKey(account);
    if (this.#policy === 'available' || (this.#outlived.get(key) ?? -1n) >= version) return;
    const pending = this.#accounts.get(key);
    const knownAtMs = pending && pending.version >= version ? pending.knownAtMs : this.#clock.monotonic();
    for (;;) {
      const leftMs = knownAtMs + this.#ttlMs - this.#clock.monotonic();
      if (leftMs <= 0) break;
      await sleep(Math.min(LOOK_EVERY_MS, leftMs));
      // What there was no room for is never tried again.
      if (pending && !this.#accounts.has(key)) return;
    }
    if ((this.#outlived.get(key) ?? -1n) < version) this.#outlived.set(key, version);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#retry().catch(() => undefined);
    }, this.#retryMs).unref();
  }

  async #retry(): Promise<void> {
    const now = this.#clock.monotonic();
    for (const [key, { untilMs }] of this.#accounts) if (untilMs <= now) this.#accounts.delete(key);
    const batch: [string, PendingInvalidation][] = [];
    const calls: ScriptCall[] = [];
    for (const [key, pending] of this.#accounts) {
      const { invalidating, unfencing } = pending;
      if (calls.length > 0 && calls.length + invalidating.length + unfencing.length > RETRY_BATCH) break;
      calls.push(...unfencing, ...invalidating);
      batch.push([key, pending]);
    }
    try {
      await this.#client.run(calls);
      for (const [key, pending] of batch) if (this.#accounts.get(key) === pending) this.#accounts.delete(key);
      this.#retryMs = RETRY_FIRST_MS;
    } catch {
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LONGEST_MS);
    }
    if (this.#accounts.size > 0) this.#schedule();
  }
}
