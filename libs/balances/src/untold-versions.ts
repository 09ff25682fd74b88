import type { Clock } from '#kernel/clock.js';
import type { CacheClient, ScriptCall } from './cache-client.js';
import { type AccountKey, cacheKey } from './cached-balance.js';

/** Beyond this the process stops trusting the cache for one TTL instead of remembering each account. */
const CAPACITY = 10_000;
const RETRY_FIRST_MS = 50;
const RETRY_LONGEST_MS = 1_000;
/** Calls of one retry. */
const RETRY_BATCH = 200;

interface Untold {
  readonly version: bigint;
  readonly untilMs: number;
  readonly calls: readonly ScriptCall[];
}

/**
 * What this process learnt from PostgreSQL and could not tell the cache, for as long as the cache may serve something older:
 * one TTL. Until then this process itself never answers less, and tries again to tell. All scripts that are sent again
 * here may arrive twice and late.
 */
export class UntoldVersions {
  readonly #client: CacheClient;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #accounts = new Map<string, Untold>();
  #blindUntilMs = Number.NEGATIVE_INFINITY;
  #retryMs = RETRY_FIRST_MS;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(client: CacheClient, options: { ttlMs: number; clock: Clock }) {
    this.#client = client;
    this.#clock = options.clock;
    this.#ttlMs = options.ttlMs;
  }

  get size(): number {
    return this.#accounts.size;
  }

  /** True while so much is untold that no cached balance is to be trusted. */
  get blind(): boolean {
    return this.#clock.monotonic() < this.#blindUntilMs;
  }

  /** Nothing below this may be answered from the cache. */
  floorOf(account: AccountKey): bigint {
    const untold = this.#accounts.get(cacheKey(account));
    return untold && untold.untilMs > this.#clock.monotonic() ? untold.version : 0n;
  }

  /** `calls` tell the version, or at least remove the fences that are in the way. */
  add(account: AccountKey, version: bigint, calls: readonly ScriptCall[]): void {
    const now = this.#clock.monotonic();
    const key = cacheKey(account);
    const before = this.#accounts.get(key);
    if (!before && this.#accounts.size >= CAPACITY) {
      this.#blindUntilMs = now + this.#ttlMs;
      return;
    }
    this.#accounts.set(key, {
      version: before && before.version > version ? before.version : version,
      untilMs: now + this.#ttlMs,
      // A newer version makes telling of the older one needless; another token's fence does not go by itself.
      calls: [...(before?.calls.filter(({ script }) => script !== 'invalidate') ?? []), ...calls].slice(-RETRY_BATCH),
    });
    this.#schedule();
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
    const batch: [string, Untold][] = [];
    let calls = 0;
    for (const entry of this.#accounts) {
      if (calls > 0 && calls + entry[1].calls.length > RETRY_BATCH) break;
      calls += entry[1].calls.length;
      batch.push(entry);
    }
    try {
      await this.#client.run(batch.flatMap(([, untold]) => untold.calls));
      for (const [key, untold] of batch) if (this.#accounts.get(key) === untold) this.#accounts.delete(key);
      this.#retryMs = RETRY_FIRST_MS;
    } catch {
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LONGEST_MS);
    }
    if (this.#accounts.size > 0) this.#schedule();
  }
}
