import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Span } from '@opentelemetry/api';
import {
  CircuitState,
  CountBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleAll,
  type IBackoff,
  type IBackoffFactory,
  isBrokenCircuitError,
} from 'cockatiel';
import type { ChainableCommander, Redis } from 'ioredis';
import { Histogram } from '#platform/histogram.js';
import { answeredWithin } from '#platform/late.js';
import { openRedis } from '#platform/redis.js';
import { tracedCalls } from './cache-spans.js';
import { type AccountKey, cacheKey } from './cached-balance.js';
import { loadScripts, SCRIPT_NAMES, type Script, type ScriptName } from './scripts.js';

export interface CacheClientOptions {
  /** Redis in the cache role. */
  url: string;
  /** Longest that anybody waits for one call, its round trips included. */
  timeoutMs: number;
  /** Shown by CLIENT LIST. */
  connectionName?: string;
}

export interface ScriptCall {
  readonly script: ScriptName;
  readonly account: AccountKey;
  readonly args: readonly (string | number | bigint)[];
}

export type ScriptReply = number | string[];

/** What one pipeline is for: the script of its first call, or what is looked at without one. */
const CALLS = [...SCRIPT_NAMES, 'scan', 'hashes'] as const;
type CallName = (typeof CALLS)[number];

/** Redis has no memory for this script (only the fence ever meets it); the other calls of the pipeline did run. */
export class CacheRefused extends Error {
  override name = 'CacheRefused';
}

/** Nothing is known about the calls: they may have run, may still run, or may never run. */
export class CacheUnavailable extends Error {
  override name = 'CacheUnavailable';

  /** Whether nothing was sent, because Redis failed a moment ago. */
  get isLeftAlone(): boolean {
    return isBrokenCircuitError(this.cause);
  }
}

export type BreakerState = 'closed' | 'half-open' | 'open';

export interface CacheState {
  /** Closed: Redis is used. Open: nobody asks it. Half-open: one call tries. */
  readonly breaker: BreakerState;
  readonly connected: boolean;
  /** Redis had no memory for the last fence: balances that are written are not cached. */
  readonly refusing: boolean;
  /** Its maxmemory-policy is one by which fences may go, too, so that it is not used. */
  readonly evictsFences: boolean;
  /** What the last failure said; undefined while the breaker is closed. */
  readonly lastFailure: string | undefined;
  readonly timeouts: number;
  readonly failures: number;
  readonly breaks: number;
  readonly refusals: number;
}

/** The breaker opens when half of the last 20 calls failed, and not before 5. */
const BREAKER_WINDOW = 20;
const BREAKER_MINIMUM = 5;
const BREAKER_THRESHOLD = 0.5;
/** First and longest pause before a call tries again. A Redis that flaps is asked less and less often. */
const HALF_OPEN_FIRST_MS = 100;
const HALF_OPEN_LONGEST_MS = 2_000;
const CONNECT_TIMEOUT_MS = 1_000;
const SCAN_COUNT = 500;
/** Accounts in one call: a script holds up everybody else for as long as it runs, some microseconds an account. */
const BATCH_ACCOUNTS = 100;
/** How often it is asked for its maxmemory-policy, besides with each connection. */
const POLICY_EVERY_MS = 2_000;
/** Calls that are put together in one go, some milliseconds' work: a group of 50,000 accounts would keep the process for 100. */
const CALLS_PER_TURN = 2_000;

/**
 * How long the breaker stays open, by the monotonic clock. It compares what `duration` says with the wall clock, and would leave Redis alone for
 * as long as that one was set back.
 */
class MonotonicPause implements IBackoff<unknown> {
  readonly #pauses: IBackoffFactory<unknown>;
  readonly #endMs: number;

  constructor(pauses: IBackoffFactory<unknown>, forMs = 0) {
    this.#pauses = pauses;
    this.#endMs = performance.now() + forMs;
  }

  get duration(): number {
    return performance.now() < this.#endMs ? Infinity : -Infinity;
  }

  next(context: unknown): MonotonicPause {
    const next = this.#pauses.next(context);
    return new MonotonicPause(next, next.duration);
  }
}

/**
 * The one way to Redis for balances. Each call is sent at most once: no offline queue, no resend after a reconnect, no
 * retry. (A NOSCRIPT answer says that nothing ran; only then is the script loaded and the call sent again.)
 */
export class CacheClient {
  readonly #redis: Redis;
  readonly #timeoutMs: number;
  readonly #policy: NodeJS.Timeout;
  /** Of calls that were sent, failed ones included. */
  readonly durations = Object.fromEntries(CALLS.map((name) => [name, new Histogram()])) as Record<CallName, Histogram>;
  readonly #scripts: Readonly<Record<ScriptName, Script>> = loadScripts();
  readonly #breaker = circuitBreaker(handleAll, {
    halfOpenAfter: new MonotonicPause(
      new ExponentialBackoff({ initialDelay: HALF_OPEN_FIRST_MS, maxDelay: HALF_OPEN_LONGEST_MS }),
    ),
    breaker: new CountBreaker({
      threshold: BREAKER_THRESHOLD,
      size: BREAKER_WINDOW,
      minimumNumberOfCalls: BREAKER_MINIMUM,
    }),
  });
  #batch: { call: ScriptCall; resolve(reply: ScriptReply | CacheRefused): void; reject(error: unknown): void }[] = [];
  #timeouts = 0;
  #failures = 0;
  #breaks = 0;
  #refusals = 0;
  #refusing = false;
  #evictsFences = false;
  #lastFailure: string | undefined;

  constructor(options: CacheClientOptions) {
    this.#timeoutMs = options.timeoutMs;
    this.#redis = openRedis(options.url, {
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      ...(options.connectionName !== undefined && { connectionName: options.connectionName }),
    });
    this.#redis.on('error', (error: Error) => {
      this.#lastFailure = error.message;
    });
    this.#redis.on('ready', () => {
      this.#loadScripts().catch(() => undefined);
      void this.#lookAtPolicy();
    });
    this.#policy = setInterval(() => void this.#lookAtPolicy(), POLICY_EVERY_MS).unref();
    this.#breaker.onBreak(() => {
      this.#breaks += 1;
      // What still waits in a connection that does not answer would only arrive late.
      if (this.#redis.status === 'ready') this.#redis.disconnect(true);
    });
  }

  /** Resolves when the first connection stands; rejects after `withinMs`. A service need not wait: it works without. */
  async ready(withinMs = 5_000): Promise<void> {
    if (this.#redis.status === 'ready') return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new CacheUnavailable('Redis cannot be reached')), withinMs);
      this.#redis.once('ready', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  get state(): CacheState {
    const { state } = this.#breaker;
    const breaker = state === CircuitState.Closed ? 'closed' : state === CircuitState.HalfOpen ? 'half-open' : 'open';
    return {
      breaker,
      connected: this.#redis.status === 'ready',
      refusing: this.#refusing,
      evictsFences: this.#evictsFences,
      lastFailure: breaker === 'closed' ? undefined : this.#lastFailure,
      timeouts: this.#timeouts,
      failures: this.#failures,
      breaks: this.#breaks,
      refusals: this.#refusals,
    };
  }

  /**
   * Sends the calls as one pipeline. Answers in their order; `CacheRefused` where Redis had no memory. Throws
   * `CacheUnavailable` within `timeoutMs`: then the calls may or may not run, now or later.
   */
  async run(calls: readonly ScriptCall[], deadlineMs = Infinity, span?: Span): Promise<(ScriptReply | CacheRefused)[]> {
    const [first] = calls;
    if (!first) return [];
    return tracedCalls(span, { script: first.script, calls: calls.length }, () =>
      this.#guarded(first.script, Math.min(deadlineMs, this.#timeoutMs), () => this.#send(calls)),
    );
  }

  /** As `run`, for one call: what this turn of the event loop asks for goes in one pipeline. */
  call(call: ScriptCall, span?: Span): Promise<ScriptReply | CacheRefused> {
    const sent = (): Promise<ScriptReply | CacheRefused> =>
      new Promise((resolve, reject) => {
        if (this.#batch.length === 0) setImmediate(() => this.#sendBatch());
        this.#batch.push({ call, resolve, reject });
      });
    return tracedCalls(span, { script: call.script, calls: 1 }, sent);
  }

  async #sendBatch(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    try {
      const replies = await this.run(batch.map(({ call }) => call));
      for (const [index, { resolve }] of batch.entries()) resolve(replies[index] as ScriptReply | CacheRefused);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  /** Keys of all accounts, a bounded step at a time. */
  async *keys(): AsyncGenerator<string[]> {
    let from = '0';
    do {
      const { cursor, keys } = await this.scan(from, SCAN_COUNT);
      from = cursor;
      if (keys.length > 0) yield keys;
    } while (from !== '0');
  }

  /** One step of SCAN over the accounts' keys, of about `count` keys. From `'0'`; a cursor of `'0'` ends it. */
  async scan(from: string, count: number): Promise<{ cursor: string; keys: string[] }> {
    const [cursor, keys] = await this.#guarded('scan', this.#timeoutMs, () =>
      this.#redis.scan(from, 'MATCH', 'bal:{*', 'COUNT', count),
    );
    return { cursor, keys };
  }

  /** The fields of these keys' hashes, and what Redis' clock said, in milliseconds: for the sweeper and the monitor. */
  async hashes(keys: readonly string[]): Promise<{ nowMs: number; hashes: Record<string, string>[] }> {
    return this.#guarded('hashes', this.#timeoutMs, async () => {
      const pipeline = this.#redis.pipeline().time();
      for (const key of keys) pipeline.hgetall(key);
      const [time, ...hashes] = ((await pipeline.exec()) ?? []).map(([error, reply]) => {
        if (error) throw error;
        return reply;
      });
      const [seconds, microseconds] = time as [string, string];
      const nowMs = Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000);
      return { nowMs, hashes: hashes as Record<string, string>[] };
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#policy);
    this.#redis.disconnect();
  }

  /** A fence has no TTL, so that `volatile-…` keeps it. Where it could be evicted an old balance would be filled behind a writer's back. */
  async #lookAtPolicy(): Promise<void> {
    if (this.#redis.status !== 'ready') return;
    const memory = await this.#redis.info('memory').catch(() => undefined);
    // What was known holds until it is known better.
    if (memory === undefined) return;
    this.#evictsFences = /^maxmemory:[1-9]/m.test(memory) && /^maxmemory_policy:allkeys/m.test(memory);
    // Where nobody else asks, this is what finds that Redis is back.
    if (this.#breaker.state === CircuitState.Closed) return;
    await this.#breaker.execute(() => this.#within(this.#timeoutMs, this.#redis.ping())).catch(() => undefined);
  }

  async #guarded<T>(name: CallName, timeoutMs: number, call: () => Promise<T>): Promise<T> {
    if (this.#evictsFences) throw new CacheUnavailable('Redis may evict fences: its maxmemory-policy is for all keys');
    try {
      return await this.#breaker.execute(() => this.durations[name].measure(() => this.#within(timeoutMs, call())));
    } catch (error) {
      if (isBrokenCircuitError(error)) throw new CacheUnavailable('Redis is left alone for a while', { cause: error });
      this.#failures += 1;
      this.#lastFailure = error instanceof Error ? error.message : String(error);
      if (error instanceof CacheUnavailable) throw error;
      throw new CacheUnavailable(`Redis: ${this.#lastFailure}`, { cause: error });
    }
  }

  #within<T>(timeoutMs: number, call: Promise<T>): Promise<T> {
    return answeredWithin(timeoutMs, call, () => {
      this.#timeouts += 1;
      return new CacheUnavailable(`Redis did not answer within ${timeoutMs} ms`);
    });
  }

  async #send(calls: readonly ScriptCall[]): Promise<(ScriptReply | CacheRefused)[]> {
    const replies = await this.#pipeline(calls);
    const unknown = replies.flatMap((reply, index) => (isNoScript(reply) ? [index] : []));
    if (unknown.length > 0) {
      await this.#loadScripts();
      const again = await this.#pipeline(unknown.map((index) => calls[index] as ScriptCall));
      for (const [at, index] of unknown.entries()) replies[index] = again[at] as Error | ScriptReply;
    }
    return replies.map((reply, index) => {
      if (!(reply instanceof Error)) {
        if (calls[index]?.script === 'fence') this.#refusing = false;
        return reply;
      }
      if (!reply.message.startsWith('OOM')) throw reply;
      this.#refusals += 1;
      this.#refusing = true;
      return new CacheRefused(reply.message);
    });
  }

  /** Long ones in pieces with others' turns between; a later call's go behind those of an earlier one, turn by turn. */
  async #pipeline(calls: readonly ScriptCall[]): Promise<(ScriptReply | Error)[]> {
    if (calls.length <= CALLS_PER_TURN) return this.#sendPiece(calls);
    const first = this.#sendPiece(calls.slice(0, CALLS_PER_TURN));
    const rest = nextTurn().then(() => this.#pipeline(calls.slice(CALLS_PER_TURN)));
    const [replies, others] = await Promise.all([first, rest]);
    return [...replies, ...others];
  }

  /** One call of Redis for each script and merchant: all their keys lie in one slot. */
  async #sendPiece(calls: readonly ScriptCall[]): Promise<(ScriptReply | Error)[]> {
    const batches = batchesOf(calls);
    const pipeline: ChainableCommander = this.#redis.pipeline();
    for (const indexes of batches) {
      const accounts = indexes.map((index) => calls[index] as ScriptCall);
      const [{ script }] = accounts as [ScriptCall, ...ScriptCall[]];
      const keys = accounts.map(({ account }) => cacheKey(account));
      pipeline.evalsha(
        this.#scripts[script].sha,
        keys.length,
        ...keys,
        ...accounts.flatMap(({ args }) => args.map(String)),
      );
    }
    const answers = await pipeline.exec();
    if (answers?.length !== batches.length) throw new Error(`${batches.length} calls, ${answers?.length} answers`);
    const replies: (ScriptReply | Error)[] = new Array(calls.length);
    for (const [at, [error, reply]] of answers.entries()) {
      for (const [place, index] of (batches[at] ?? []).entries()) {
        replies[index] = error ?? ((reply as ScriptReply[])[place] as ScriptReply);
      }
    }
    return replies;
  }

  async #loadScripts(): Promise<void> {
    const pipeline = this.#redis.pipeline();
    for (const name of SCRIPT_NAMES) pipeline.script('LOAD', this.#scripts[name].text);
    for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
  }
}

/** Indexes of the calls that go together, in the order of their first. */
function batchesOf(calls: readonly ScriptCall[]): number[][] {
  const batches = new Map<string, number[]>();
  const full: number[][] = [];
  for (const [index, { script, account, args }] of calls.entries()) {
    const name = `${script} ${args.length} ${account.merchantId}`;
    let batch = batches.get(name);
    if (!batch || batch.length >= BATCH_ACCOUNTS) {
      batch = [];
      batches.set(name, batch);
      full.push(batch);
    }
    batch.push(index);
  }
  return full;
}

function isNoScript(reply: unknown): boolean {
  return reply instanceof Error && reply.message.startsWith('NOSCRIPT');
}
