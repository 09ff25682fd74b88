import { type BalanceCache, openBalanceCache } from '#balances/balance-cache.js';
import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Writer } from '#ledger/writing/writer.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { PostgresWorkerLease } from '#platform/worker-lease.js';
import { type Config, readConfig } from '../apps/config.js';
import { openBaseline } from './cache-baselines.js';
import { writerOptions } from './lone-caller.js';
import type { BenchMerchant } from './requests.js';
import { pick, SubmissionSource } from './submission-source.js';
import { measure, type Times, type TrialResult } from './trial-result.js';

const TIMEOUT_MS = 5_000;
const READERS = 16;
/** Share of the readers' requests that are postings; they are not measured. */
const POSTINGS = 0.1;
/** Few enough that most reads could be hits. */
const ACCOUNTS = 100;

/** Ours, nothing at all, and what people do today. */
export const PROTOCOLS = ['ours', 'no cache', 'delete-after-commit', 'lock-with-ttl'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** Callers of writer and reader without HTTP, on one way of keeping balances in Redis. */
class CacheCaller {
  readonly #accounts: { merchantId: bigint; accountId: bigint }[];
  readonly #submissions: SubmissionSource;
  readonly #cache: BalanceCache | undefined;
  readonly #writer: Writer;

  constructor(
    merchants: readonly BenchMerchant[],
    parts: { config: Config; database: Database; ids: SnowflakeGenerator; protocol: Protocol },
  ) {
    const { config, database, ids, protocol } = parts;
    const few = merchants.map(({ accounts, ...merchant }) => ({
      ...merchant,
      accounts: accounts.slice(0, Math.max(2, Math.floor(ACCOUNTS / merchants.length))),
    }));
    this.#accounts = few.flatMap(({ id, accounts }) =>
      accounts.map((account) => ({ merchantId: BigInt(id), accountId: BigInt(account) })),
    );
    this.#submissions = new SubmissionSource(few);
    const open = protocol === 'ours' || protocol === 'no cache' ? openBalanceCache : openBaseline(protocol);
    if (config.redisUrl === undefined) throw new Error('REDIS_URL is not set');
    this.#cache = protocol === 'no cache' ? undefined : open(config.redisUrl, config, database);
    this.#writer = new Writer(writerOptions(config.databaseRuntimeUrl), ids, this.#cache?.fences);
  }

  /** One caller's postings. */
  post(times: Times): Promise<TrialResult> {
    return measure(times, 1, async () => {
      await this.#post();
      return true;
    });
  }

  /** Default reads of some callers, with postings to the same accounts between them. */
  read(times: Times): Promise<TrialResult> {
    const cache = this.#cache;
    if (!cache) throw new Error('no cache, no reads from it');
    return measure(times, READERS, async () => {
      const posts = Math.random() < POSTINGS;
      if (posts) await this.#post();
      else
        await cache.reader.read(pick(this.#accounts), { consistency: 'cached', deadline: Deadline.after(TIMEOUT_MS) });
      return !posts;
    });
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#cache?.close();
  }

  async #post(): Promise<void> {
    const outcome = await this.#writer.submit(this.#submissions.next());
    if (outcome.kind !== 'decided' || !outcome.decisions[0]?.accepted)
      throw new Error(`the writer answered ${outcome.kind}`);
  }
}

/** One caller for each protocol, on one database. */
export class CacheCallers {
  readonly #database: Database;
  readonly #lease: PostgresWorkerLease;
  readonly #callers: Map<Protocol, CacheCaller>;

  private constructor(database: Database, lease: PostgresWorkerLease, callers: Map<Protocol, CacheCaller>) {
    this.#database = database;
    this.#lease = lease;
    this.#callers = callers;
  }

  static async open(url: string, runtimeUrl: string, merchants: readonly BenchMerchant[]): Promise<CacheCallers> {
    const { REDIS_URL } = process.env;
    const config = readConfig({ DATABASE_URL: url, DATABASE_RUNTIME_URL: runtimeUrl, REDIS_URL });
    const database = new Database(runtimeUrl, {
      poolSize: 8,
      connectTimeoutMs: TIMEOUT_MS,
      applicationName: 'counterfoil-bench-cache',
    });
    const lease = await PostgresWorkerLease.acquire(database);
    const ids = new SnowflakeGenerator(systemClock, lease);
    const callers = PROTOCOLS.map(
      (protocol) => [protocol, new CacheCaller(merchants, { config, database, ids, protocol })] as const,
    );
    return new CacheCallers(database, lease, new Map(callers));
  }

  of(protocol: Protocol): CacheCaller {
    return this.#callers.get(protocol) as CacheCaller;
  }

  async close(): Promise<void> {
    for (const caller of this.#callers.values()) await caller.close();
    await this.#lease.release();
    await this.#database.close();
  }
}
