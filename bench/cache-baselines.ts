import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type BalanceCache, openBalanceCache } from '#balances/balance-cache.js';
import { type AccountKey, type CachedBalance, decodeValue, encodeValue } from '#balances/cached-balance.js';
import type { DatabaseReads } from '#balances/database-reads.js';
import type { BalanceAnswer, Consistency } from '#balances/read-balance.js';
import type { Balance } from '#ledger/accounts/account.js';
import type { BalanceFences, FencedAccount, FencedGroup } from '#ledger/writing/balance-fences.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';

/**
 * What people do today, on the same ports as our cache: to compare the latency (`npm run bench`) and the stale reads (the
 * histories plant one of them into the services). Neither is right: docs/balance-cache.md.
 */

interface BaselineOptions {
  /** Redis in the cache role. */
  url: string;
  ttlMs: number;
  /** Longest wait for one command. */
  timeoutMs: number;
  reads: DatabaseReads;
}

interface Written extends FencedAccount {
  readonly balance: Balance;
}

/** Holder of a lock and of what it protects: long enough for any commit, shorter than a long pause. */
const LOCK_MS = 2_000;
const LOCK_WAIT_MS = 250;
const LOCK_POLL_MS = 2;
const RECONNECT_MS = 200;
/** Releases a lock, if it is still one's own. */
const RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

const valueKey = ({ merchantId, accountId }: AccountKey) => `base:{${merchantId}}:${accountId}`;
const lockKey = (account: AccountKey) => `${valueKey(account)}:lock`;

/** Values with a TTL; whatever Redis does not answer in time is as if it were not there. */
abstract class CacheAside {
  protected readonly redis: Redis;
  protected readonly options: BaselineOptions;

  constructor(options: BaselineOptions) {
    this.options = options;
    this.redis = new Redis(options.url, {
      commandTimeout: options.timeoutMs,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      retryStrategy: () => RECONNECT_MS,
    });
    this.redis.on('error', () => undefined);
  }

  abstract readonly fences: BalanceFences;

  /** As `BalanceReader.read`; `bounded` reads as `cached` does. */
  async read(
    account: AccountKey,
    how: { consistency: Consistency; minVersion?: bigint | undefined; deadline: Deadline },
  ): Promise<BalanceAnswer | undefined> {
    const { consistency, minVersion = 0n, deadline } = how;
    const cached = consistency === 'strong' ? undefined : await this.find(account);
    if (cached && cached.version >= minVersion) return { ...cached, source: 'cache' };
    let balance = consistency === 'strong' ? undefined : await this.load(account, deadline);
    if (!balance || balance.version < minVersion) balance = await this.options.reads.read(account, deadline);
    return balance && { ...balance, source: 'database' };
  }

  close(): void {
    this.redis.disconnect();
  }

  protected async find(account: AccountKey): Promise<CachedBalance | undefined> {
    const text = await this.redis.get(valueKey(account)).catch(() => null);
    if (text === null) return undefined;
    const at = text.indexOf(' ');
    return decodeValue(text.slice(0, at), text.slice(at + 1));
  }

  protected async store(account: AccountKey, balance: CachedBalance): Promise<void> {
    const text = `${balance.version} ${encodeValue(balance)}`;
    await this.redis.set(valueKey(account), text, 'PX', this.options.ttlMs).catch(() => undefined);
  }

  protected async remove(accounts: readonly AccountKey[]): Promise<void> {
    const pipeline = this.redis.pipeline();
    for (const account of accounts) pipeline.del(valueKey(account));
    await pipeline.exec().catch(() => undefined);
  }

  /** Nothing is cached: from the database, into the cache. */
  protected abstract load(account: AccountKey, deadline: Deadline): Promise<CachedBalance | undefined>;
}

/** Writers delete what they have changed; readers fill what they do not find. */
class DeleteAfterCommit extends CacheAside {
  readonly fences: BalanceFences = {
    fence: async () => ({
      confirmed: true,
      publish: (values) => this.remove(values),
      abandon: async () => undefined,
      leave: () => undefined,
    }),
    invalidate: async () => undefined,
  };

  protected async load(account: AccountKey, deadline: Deadline): Promise<CachedBalance | undefined> {
    const balance = await this.options.reads.read(account, deadline);
    if (balance) await this.store(account, balance);
    return balance;
  }
}

/** Who writes an account, or fills it, holds its lock from before the read to after the cache is set. */
class LockWithTtl extends CacheAside {
  readonly fences: BalanceFences = {
    fence: async (accounts, _token, deadlineMs): Promise<FencedGroup> => {
      const owner = randomUUID();
      const deadline = Deadline.after(Math.min(deadlineMs, LOCK_WAIT_MS));
      // In one order, so that nobody waits in a circle.
      const sorted = [...accounts].sort((one, other) => (valueKey(one) < valueKey(other) ? -1 : 1));
      const locked = await this.#lockAll(sorted, owner, deadline);
      return {
        confirmed: true,
        publish: async (values) => {
          // Without the lock (Redis is away, or somebody else holds it) nothing may be set.
          if (locked) await Promise.all(values.map((value) => this.store(value, cachedOf(value))));
          else await this.remove(values);
          await this.#releaseAll(sorted, owner);
        },
        abandon: () => this.#releaseAll(sorted, owner),
        leave: () => undefined,
      };
    },
    invalidate: async () => undefined,
  };

  protected async load(account: AccountKey, deadline: Deadline): Promise<CachedBalance | undefined> {
    const owner = randomUUID();
    const until = deadline.within(LOCK_WAIT_MS);
    while (!until.expired) {
      if (await this.#lockAll([account], owner, deadline.within(0))) {
        const balance = await this.options.reads.read(account, deadline);
        if (balance) await this.store(account, balance);
        await this.#releaseAll([account], owner);
        return balance;
      }
      if (this.redis.status !== 'ready') break;
      await sleep(LOCK_POLL_MS * (0.5 + Math.random()));
      const filled = await this.find(account);
      if (filled) return filled;
    }
    return this.options.reads.read(account, deadline);
  }

  async #lockAll(accounts: readonly AccountKey[], owner: string, deadline: Deadline): Promise<boolean> {
    // All at once when nobody is in the way, one after the other in their order when somebody is.
    const pipeline = this.redis.pipeline();
    for (const account of accounts) pipeline.set(lockKey(account), owner, 'PX', LOCK_MS, 'NX');
    const answers = await pipeline.exec().catch(() => null);
    if (answers?.every(([, reply]) => reply === 'OK')) return true;
    await this.#releaseAll(accounts, owner);
    for (const account of accounts) {
      while ((await this.redis.set(lockKey(account), owner, 'PX', LOCK_MS, 'NX').catch(() => null)) !== 'OK') {
        if (deadline.expired || this.redis.status !== 'ready') {
          await this.#releaseAll(accounts, owner);
          return false;
        }
        await sleep(LOCK_POLL_MS * (0.5 + Math.random()));
      }
    }
    return true;
  }

  async #releaseAll(accounts: readonly AccountKey[], owner: string): Promise<void> {
    const pipeline = this.redis.pipeline();
    for (const account of accounts) pipeline.eval(RELEASE, 1, lockKey(account), owner);
    await pipeline.exec().catch(() => undefined);
  }
}

function cachedOf({ balance }: Written): CachedBalance {
  return { ...balance, asOfMs: Date.now() };
}

const BASELINES = { 'delete-after-commit': DeleteAfterCommit, 'lock-with-ttl': LockWithTtl } as const;
type BaselineName = keyof typeof BASELINES;

/** In the place of `openBalanceCache`: the histories plant it. What else a process needs is ours, and stays idle. */
export function openBaseline(name: BaselineName): typeof openBalanceCache {
  return (url, config, database: Database): BalanceCache => {
    const ours = openBalanceCache(url, config, database);
    const { balanceTtlMs: ttlMs, balanceRedisTimeoutMs: timeoutMs } = config;
    const baseline = new BASELINES[name]({ url, ttlMs, timeoutMs, reads: ours.databaseReads });
    const { counts } = ours.reader;
    return {
      ...ours,
      fences: Object.assign(baseline.fences, { counts: ours.fences.counts }) as unknown as BalanceCache['fences'],
      reader: { read: baseline.read.bind(baseline), counts } as unknown as BalanceCache['reader'],
      close: async () => {
        baseline.close();
        await ours.close();
      },
    };
  };
}
