import { CacheClient } from '#balances/cache-client.js';
import { type AccountKey, type CachedBalance, cacheKey } from '#balances/cached-balance.js';
import { DatabaseReads } from '#balances/database-reads.js';
import { CacheFences } from '#balances/fences.js';
import { PendingInvalidations } from '#balances/pending-invalidations.js';
import { BalanceReader } from '#balances/read-balance.js';
import { systemClock } from '#kernel/clock.js';
import { EMPTY_BALANCE } from '#ledger/accounts/account.js';
import { Deadline } from '#platform/deadline.js';

/** Long enough that nothing expires within a test. */
export const TTL = 60_000;
export const soon = () => Deadline.after(20_000);

/** A database in memory whose answers can be held back. */
export class FakeDatabase {
  readonly versions = new Map<string, bigint>();
  queries = 0;
  accounts = 0;
  #gate: Promise<void> = Promise.resolve();
  #open: () => void = () => undefined;

  hold(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    this.#open = resolve;
  }

  release(): void {
    this.#open();
  }

  readonly load = async (accounts: readonly AccountKey[]): Promise<Map<string, CachedBalance>> => {
    this.queries += 1;
    this.accounts += accounts.length;
    const seen = new Map(
      accounts.flatMap((account) => {
        const version = this.versions.get(cacheKey(account));
        return version === undefined ? [] : [[cacheKey(account), balanceAt(version)] as const];
      }),
    );
    await this.#gate;
    return seen;
  };
}

function balanceAt(version: bigint): CachedBalance {
  return { version, postedDebits: version, postedCredits: 0n, pendingDebits: 0n, pendingCredits: 0n, asOfMs: 1 };
}

/** One process' share of the cache, on a database in memory. */
export class BalanceProcess {
  readonly client: CacheClient;
  readonly fences: CacheFences;
  readonly reader: BalanceReader;
  readonly pending: PendingInvalidations;
  readonly reads: DatabaseReads;
  readonly #database: FakeDatabase;

  private constructor(url: string, database: FakeDatabase, options: ProcessOptions) {
    const { ttlMs = TTL, leaseWaitMs = 10_000, l1MaxAgeMs = 0, earlyRefresh = 0, policy = 'available' } = options;
    this.#database = database;
    this.client = new CacheClient({ url, timeoutMs: options.timeoutMs ?? 2_000 });
    this.pending = new PendingInvalidations(this.client, { ttlMs, policy, clock: systemClock });
    this.reads = new DatabaseReads(database.load, { concurrency: 4, queue: options.queue ?? 10_000 });
    this.reader = new BalanceReader(
      { client: this.client, pending: this.pending, database: this.reads },
      { ttlMs, leaseWaitMs, l1MaxAgeMs, earlyRefresh, random: () => 0.5 },
    );
    this.fences = new CacheFences(this.client, this.pending, { ttlMs });
  }

  static async open(url: string, database: FakeDatabase, options: ProcessOptions = {}): Promise<BalanceProcess> {
    const process = new BalanceProcess(url, database, options);
    await process.client.ready();
    return process;
  }

  async close(): Promise<void> {
    this.pending.close();
    await this.client.close();
  }

  /** A default read. */
  cached(account: AccountKey, minVersion?: bigint) {
    return this.reader.read(account, { consistency: 'cached', minVersion, deadline: soon() });
  }

  /** One write, as a process without faults does it. Returns its version. */
  async write(account: AccountKey, token: bigint): Promise<bigint> {
    const group = await this.fences.fence([account], token, 1_000);
    const version = (this.#database.versions.get(cacheKey(account)) ?? 0n) + 1n;
    this.#database.versions.set(cacheKey(account), version);
    await group.publish([{ ...account, balance: { ...EMPTY_BALANCE, version, postedDebits: version } }]);
    return version;
  }

  /** What the cache holds of an account. */
  async fields(account: AccountKey): Promise<Record<string, string>> {
    const { hashes } = await this.client.hashes([cacheKey(account)]);
    return hashes[0] ?? {};
  }
}

export interface ProcessOptions {
  timeoutMs?: number;
  policy?: 'available' | 'strict';
  ttlMs?: number;
  l1MaxAgeMs?: number;
  leaseWaitMs?: number;
  queue?: number;
  earlyRefresh?: number;
}
