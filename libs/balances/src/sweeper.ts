import pg from 'pg';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import type { CacheClient, ScriptCall } from './cache-client.js';
import { type AccountKey, accountOf, cacheKey } from './cached-balance.js';
import { loadBalances } from './load-balances.js';

export interface SweeperOptions {
  ttlMs: number;
  /** Age from which a fence is swept. */
  sweepAfterMs: number;
}

/** What became of a token's transaction. */
type Fate = 'committed' | 'never commits';

/** Bounds one sweep; an open writer makes it wait, and a later round tries again. */
const SWEEP_DEADLINE_MS = 5_000;
/** Tokens that reads have met and that wait to be swept; the rest is found again by the next read or round. */
const SUSPECTS = 1_000;

/**
 * Removes the fences of writers that died, or that could not publish. Tokens never expire by time: no clock is part of the
 * safety argument, and `sweepAfterMs` only keeps the sweeper from stopping writers that are at work.
 */
export class Sweeper {
  readonly #client: CacheClient;
  readonly #database: Database;
  readonly #options: SweeperOptions;
  readonly #suspects = new Map<string, Promise<void>>();
  #swept = 0;

  constructor(client: CacheClient, database: Database, options: SweeperOptions) {
    this.#client = client;
    this.#database = database;
    this.#options = options;
  }

  /** Fences removed since the process began. */
  get swept(): number {
    return this.#swept;
  }

  /** A read met this fence: swept in the background when it is old, so that a hot account waits for no round. */
  suspect(account: AccountKey, token: string, ageMs: number): void {
    const key = `${cacheKey(account)} ${token}`;
    if (ageMs < this.#options.sweepAfterMs || this.#suspects.has(key) || this.#suspects.size >= SUSPECTS) return;
    this.#suspects.set(key, this.#sweepQuietly(key, token, account));
  }

  /** Resolves when what `suspect` began has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#suspects.values());
  }

  /** One pass over all accounts of the cache. Returns how many fences it removed. */
  async round(): Promise<number> {
    const before = this.#swept;
    for await (const keys of this.#client.keys()) {
      const { nowMs, hashes } = await this.#client.hashes(keys);
      const old = hashes.flatMap((hash, index) => {
        const account = accountOf(keys[index] ?? '');
        if (!account) return [];
        return Object.entries(hash)
          .filter(([field, at]) => field.startsWith('f:') && nowMs - Number(at) >= this.#options.sweepAfterMs)
          .map(([field]) => ({ account, token: field.slice(2) }));
      });
      for (const [token, found] of Map.groupBy(old, (one) => one.token)) {
        await this.sweep(
          token,
          found.map(({ account }) => account),
        );
      }
    }
    return this.#swept - before;
  }

  /** Rule 3 of docs/glossary.md. May be done at any time, by anybody, again and again. */
  async sweep(token: string, accounts: readonly AccountKey[]): Promise<Fate> {
    const deadline = Deadline.after(SWEEP_DEADLINE_MS);
    const fate = await this.#fateOf(token, deadline);
    const { ttlMs } = this.#options;
    let calls: ScriptCall[];
    if (fate === 'never commits') {
      calls = accounts.map((account) => ({ script: 'unfence', account, args: [token, ttlMs] }));
    } else {
      // Only now: a version read before the conflict was known may be the one before the commit.
      const balances = await loadBalances(this.#database, accounts, deadline);
      calls = accounts.map((account) => {
        const version = balances.get(cacheKey(account))?.version ?? 0n;
        return { script: 'swept', account, args: [token, version, ttlMs] };
      });
    }
    await this.#client.run(calls);
    this.#swept += calls.length;
    return fate;
  }

  async #sweepQuietly(key: string, token: string, account: AccountKey): Promise<void> {
    try {
      await this.sweep(token, [account]);
    } catch {
      // Redis or PostgreSQL is away: the fence stays, and the next read or round finds it.
    } finally {
      this.#suspects.delete(key);
    }
  }

  /** Inserting the token waits for a writer that is still open, and then is either first or too late. */
  async #fateOf(token: string, deadline: Deadline): Promise<Fate> {
    try {
      return await this.#database.transaction('platform', deadline, async (client) => {
        await client.query({
          text: 'INSERT INTO write_fences (token, voided) VALUES ($1, true) ON CONFLICT (token) DO NOTHING',
          values: [token],
        });
        const { rows } = await client.query<{ voided: boolean }>({
          text: 'SELECT voided FROM write_fences WHERE token = $1',
          values: [token],
        });
        // A row that was purged in between proves nothing: then the version is read and invalidated, which is always right.
        return rows[0]?.voided ? 'never commits' : 'committed';
      });
    } catch (error) {
      // Below the horizon of the purge nothing commits any more, but it may have committed before.
      if (error instanceof pg.DatabaseError && error.constraint === 'write_fence_horizon') return 'committed';
      throw error;
    }
  }
}
