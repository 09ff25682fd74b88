import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { type Clock, systemClock } from '#kernel/clock.js';
import { invalid } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';
import { shareWork, step } from '#platform/tracing.js';
import { type CacheClient, CacheRefused, type ScriptCall, type ScriptReply } from './cache-client.js';
import { tracedRead } from './cache-spans.js';
import { type AccountKey, type CachedBalance, cacheKey, decodeValue, encodeValue } from './cached-balance.js';
import type { DatabaseReads } from './database-reads.js';
import type { PendingInvalidations } from './pending-invalidations.js';
import type { Sweeper } from './sweeper.js';

/**
 * `cached`: linearizable per account. `strong`: from the database. `bounded`: perhaps from this process' memory, at most
 * `l1MaxAgeMs` old.
 */
export type Consistency = 'cached' | 'strong' | 'bounded';

export interface BalanceAnswer extends CachedBalance {
  readonly source: 'cache' | 'database' | 'process';
}

export interface BalanceReaderOptions {
  ttlMs: number;
  /** How long a read waits for another reader's fill. */
  leaseWaitMs: number;
  /** 0: `bounded` reads as `cached` does. */
  l1MaxAgeMs: number;
  /** XFetch's β. 0: no early refresh. */
  earlyRefresh: number;
  clock?: Clock;
  /** From [0, 1). */
  random?: () => number;
}

/** Counts since the process began. */
export interface ReaderCounts {
  readonly hits: number;
  readonly grants: number;
  /** Found a writer at work. */
  readonly fenced: number;
  /** Waits for another reader's fill. */
  readonly leaseWaits: number;
  readonly earlyRefreshes: number;
  readonly l1Hits: number;
  /** Redis did not answer, or this process did not trust it. */
  readonly bypassed: number;
  readonly fillsRefused: number;
}

/** A lease keeps others waiting for as long as a slow database read takes; then it is taken over. */
const LEASE_MS = 1_000;
const FIRST_WAIT_MS = 4;
const LONGEST_WAIT_MS = 50;
const L1_ACCOUNTS = 50_000;
/** Weight of the newest database read in the cost that XFetch reckons with. */
const COST_WEIGHT = 0.1;

/** What the cache itself served, or the answer that has to come from elsewhere. */
type Reply = BalanceAnswer | { readonly elsewhere: Promise<BalanceAnswer | undefined>; readonly why: string | Error };

interface Joined {
  readonly account: AccountKey;
  deadline: Deadline;
  /** Never rejects, and comes within the cache client's own time limit. */
  readonly reply: Promise<Reply>;
  resolve(reply: Reply): void;
}

/** Where balances are read. One of these per process. */
export class BalanceReader {
  readonly #client: CacheClient;
  readonly #pending: PendingInvalidations;
  readonly #database: DatabaseReads;
  readonly #sweeper: Pick<Sweeper, 'suspect'> | undefined;
  readonly #options: BalanceReaderOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #l1: LRUCache<string, { balance: CachedBalance; readAtMs: number }>;
  #unsent = new Map<string, Joined>();
  #costMs = 1;
  readonly #counts = {
    hits: 0,
    grants: 0,
    fenced: 0,
    leaseWaits: 0,
    earlyRefreshes: 0,
    l1Hits: 0,
    bypassed: 0,
    fillsRefused: 0,
  };

  constructor(
    parts: {
      client: CacheClient;
      pending: PendingInvalidations;
      database: DatabaseReads;
      sweeper?: Pick<Sweeper, 'suspect'> | undefined;
    },
    options: BalanceReaderOptions,
  ) {
    this.#client = parts.client;
    this.#pending = parts.pending;
    this.#database = parts.database;
    this.#sweeper = parts.sweeper;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#l1 = new LRUCache({ max: L1_ACCOUNTS });
  }

  get counts(): ReaderCounts {
    return { ...this.#counts };
  }

  /**
   * Balances in the order of `accounts`; undefined where there is no such account. Rejects with `overloaded`,
   * `deadline_exceeded`, `database_unavailable`, and `validation_failed` when `minVersion` does not exist yet.
   */
  readMany(
    accounts: readonly AccountKey[],
    how: { consistency: Consistency; deadline: Deadline },
  ): Promise<(BalanceAnswer | undefined)[]> {
    return Promise.all(accounts.map((account) => this.read(account, how)));
  }

  async read(
    account: AccountKey,
    how: { consistency: Consistency; minVersion?: bigint | undefined; deadline: Deadline },
  ): Promise<BalanceAnswer | undefined> {
    const { consistency, deadline, minVersion = 0n } = how;
    if (consistency === 'strong') return this.#atLeast(minVersion, await this.#readDatabase(account, '', deadline));
    if (consistency === 'bounded' && this.#options.l1MaxAgeMs > 0) {
      const kept = this.#l1.get(cacheKey(account));
      const young = kept && this.#clock.monotonic() - kept.readAtMs <= this.#options.l1MaxAgeMs;
      if (young && kept.balance.version >= minVersion) {
        this.#counts.l1Hits += 1;
        return { ...kept.balance, source: 'process' };
      }
    }
    // Its age counts from before the read began: it may be as old as that.
    const readAtMs = this.#clock.monotonic();
    let answer = await this.#join(account, deadline);
    if (answer && answer.version < minVersion) answer = await this.#readDatabase(account, '', deadline);
    const found = this.#atLeast(minVersion, answer);
    if (found && consistency === 'bounded' && this.#options.l1MaxAgeMs > 0) {
      const { source, ...balance } = found;
      this.#l1.set(cacheKey(account), { balance, readAtMs });
    }
    return found;
  }

  #atLeast(minVersion: bigint, answer: BalanceAnswer | undefined): BalanceAnswer | undefined {
    if (!answer || answer.version >= minVersion) return answer;
    throw invalid('min_version', `is ${minVersion}, but the account is at version ${answer.version}`);
  }

  /** Single flight: joins a read of this account that has not been sent, never one that has. */
  async #join(account: AccountKey, deadline: Deadline): Promise<BalanceAnswer | undefined> {
    const key = cacheKey(account);
    let joined = this.#unsent.get(key);
    if (joined) {
      if (deadline.remainingMs > joined.deadline.remainingMs) joined.deadline = deadline;
    } else {
      const { promise, resolve } = Promise.withResolvers<Reply>();
      joined = { account, deadline, reply: promise, resolve };
      // What this turn of the event loop asks for goes in one pipeline.
      if (this.#unsent.size === 0) setImmediate(() => this.#send());
      this.#unsent.set(key, joined);
    }
    const reply = await tracedRead(deadline.span, joined.reply, told);
    return 'elsewhere' in reply ? this.#fromElsewhere(reply.elsewhere, joined.deadline, deadline) : reply;
  }

  /** What is done for all who joined lies below one of them; the others wait. */
  #fromElsewhere(
    elsewhere: Promise<BalanceAnswer | undefined>,
    leading: Deadline,
    deadline: Deadline,
  ): Promise<BalanceAnswer | undefined> {
    const waiting = leading === deadline ? undefined : deadline.span;
    return step(waiting, 'wait for a shared read', {}, (span) => {
      if (span && leading.span) shareWork(span, leading.span);
      return deadline.race(elsewhere);
    });
  }

  async #send(): Promise<void> {
    const reads = [...this.#unsent.values()];
    this.#unsent = new Map();
    const leases = reads.map(() => newLease());
    const calls = reads.map(({ account }, index) => this.#readCall(account, leases[index] as string));
    const replies = this.#pending.blind ? undefined : await this.#client.run(calls).catch((error: Error) => error);
    for (const [index, { account, deadline, resolve }] of reads.entries()) {
      const reply = Array.isArray(replies) ? replies[index] : replies;
      resolve(this.#reply(account, leases[index] as string, reply, deadline));
    }
  }

  /** Most reads end here, without a timer of their own. */
  #reply(account: AccountKey, leaseId: string, reply: ScriptReply | Error | undefined, deadline: Deadline): Reply {
    let answer: BalanceAnswer | Promise<BalanceAnswer | undefined>;
    try {
      answer = this.#answer(account, leaseId, reply, deadline);
    } catch (error) {
      answer = Promise.reject(error);
    }
    if (!(answer instanceof Promise)) return answer;
    // Everybody who joined may have left by then.
    answer.catch(() => undefined);
    return { elsewhere: answer, why: whyElsewhere(reply) };
  }

  #readCall(account: AccountKey, leaseId: string): ScriptCall {
    const { ttlMs, earlyRefresh } = this.#options;
    const earlyMs = Math.ceil(-this.#costMs * earlyRefresh * Math.log(1 - this.#random()));
    return { script: 'read', account, args: [leaseId, ttlMs, LEASE_MS, earlyMs] };
  }

  /** A promise only when the cache served nothing, or something older than what this process knows of. */
  #answer(
    account: AccountKey,
    leaseId: string,
    reply: ScriptReply | Error | undefined,
    deadline: Deadline,
  ): BalanceAnswer | Promise<BalanceAnswer | undefined> {
    if (!Array.isArray(reply)) {
      this.#counts.bypassed += 1;
      return this.#readDatabase(account, '', deadline);
    }
    const [kind, version = '', second = '', third = ''] = reply;
    switch (kind) {
      case 'HIT':
      case 'REFRESH': {
        if (kind === 'REFRESH') {
          this.#counts.earlyRefreshes += 1;
          // In the background; when it fails, the value lives out its time.
          this.#fill(account, leaseId, deadline).catch(() => undefined);
        }
        const balance = decodeValue(version, second);
        if (balance.version >= this.#pending.floorOf(account)) {
          this.#counts.hits += 1;
          return { ...balance, source: 'cache' };
        }
        this.#counts.bypassed += 1;
        return this.#readDatabase(account, '', deadline);
      }
      case 'GRANTED':
        this.#counts.grants += 1;
        return this.#fill(account, leaseId, deadline);
      case 'DATABASE':
        this.#counts.fenced += 1;
        this.#sweeper?.suspect(account, second, Number(third));
        return this.#readDatabase(account, version, deadline);
      case 'BUSY':
        return this.#whileBusy(account, deadline);
      default:
        throw new Error(`the read script answered ${kind}`);
    }
  }

  /** Another reader fills: look again after a short while, and after a longer one read the database. */
  async #whileBusy(account: AccountKey, deadline: Deadline): Promise<BalanceAnswer | undefined> {
    const until = deadline.within(this.#options.leaseWaitMs);
    for (let waitMs = FIRST_WAIT_MS; !until.expired; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      this.#counts.leaseWaits += 1;
      await sleep(Math.min(waitMs * (0.5 + this.#random()), until.remainingMs));
      const leaseId = newLease();
      const asked = this.#client.call(this.#readCall(account, leaseId), deadline.span);
      const reply = await asked.catch((): undefined => undefined);
      if (Array.isArray(reply) && reply[0] === 'BUSY') continue;
      return this.#answer(account, leaseId, reply, deadline);
    }
    return this.#readDatabase(account, '', deadline);
  }

  /** After the lease was granted: read the primary, fill, and only then answer. */
  async #fill(account: AccountKey, leaseId: string, deadline: Deadline): Promise<BalanceAnswer | undefined> {
    const { ttlMs } = this.#options;
    const balance = await this.#load(account, deadline);
    if (!balance) return undefined;
    const args = [leaseId, balance.version, encodeValue(balance), ttlMs];
    await this.#runOrKeep(account, balance.version, { script: 'fill', account, args }, deadline);
    return { ...balance, source: 'database' };
  }

  /** `known`: the version that the cache itself reported as its floor, '' for none. */
  async #readDatabase(account: AccountKey, known: string, deadline: Deadline): Promise<BalanceAnswer | undefined> {
    const balance = await this.#load(account, deadline);
    if (!balance) return undefined;
    // The cache knows already: a hot account with writers at work costs its readers no second call.
    if (known === '' || balance.version > BigInt(known)) {
      const args = [balance.version, this.#options.ttlMs];
      await this.#runOrKeep(account, balance.version, { script: 'invalidate', account, args }, deadline);
    }
    return { ...balance, source: 'database' };
  }

  async #load(account: AccountKey, deadline: Deadline): Promise<CachedBalance | undefined> {
    const startedAt = this.#clock.monotonic();
    const balance = await this.#database.read(account, deadline);
    this.#costMs += COST_WEIGHT * (this.#clock.monotonic() - startedAt - this.#costMs);
    return balance;
  }

  /**
   * Invalidate before answering. What Redis does not confirm is remembered here, so that this process at least never goes back; with `strict`
   * it is handed to nobody before everybody else has left the older ones behind, too.
   */
  async #runOrKeep(account: AccountKey, version: bigint, call: ScriptCall, deadline: Deadline): Promise<void> {
    try {
      const reply = await this.#client.call(call, deadline.span);
      if (reply === 0 && call.script === 'fill') this.#counts.fillsRefused += 1;
      if (!(reply instanceof CacheRefused)) return;
    } catch {}
    const args = [version, this.#options.ttlMs];
    this.#pending.add(account, version, [{ script: 'invalidate', account, args }]);
    await deadline.race(this.#pending.outlive(account, version));
  }
}

function told(reply: Reply): string | Error {
  return 'elsewhere' in reply ? reply.why : 'hit';
}

/** What the script said, in small letters: `granted`, `busy`, `database`; `bypassed`: it was not asked. */
function whyElsewhere(reply: ScriptReply | Error | undefined): string | Error {
  if (Array.isArray(reply)) return (reply[0] ?? '').toLowerCase();
  return reply instanceof Error ? reply : 'bypassed';
}

const PROCESS = randomBytes(9).toString('base64url');
let leases = 0;

/** Never the same twice: a lease that was lost must not be mistaken for a later one. This start of the process, and a count. */
function newLease(): string {
  leases += 1;
  return `${PROCESS}${leases.toString(36)}`;
}
