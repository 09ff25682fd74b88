import type { Redis } from 'ioredis';
import { answeredWithin } from '#platform/late.js';
import { openRedis } from '#platform/redis.js';
import { type LeaseScript, leaseScript } from './lease-script.js';
import type { LeaseCall, LeaseReply, Leases } from './leases.js';

const CONNECT_TIMEOUT_MS = 1_000;
/** First and longest pause before somebody asks again. A Redis that flaps is asked less and less often. */
const AWAY_FIRST_MS = 100;
const AWAY_LONGEST_MS = 2_000;

/** Redis cannot be asked, or does not answer: whether the call was carried out is not known. */
export class LeaseUnavailable extends Error {
  override name = 'LeaseUnavailable';
}

export interface LeaseClientOptions {
  /** Redis in the cache role. */
  readonly url: string;
  readonly timeoutMs: number;
  /** Of this process, unique. */
  readonly process: string;
  /** How long it is believed to live without a word. */
  readonly ttlMs: number;
  readonly script?: LeaseScript;
}

/** The one way to Redis for budgets. Whoever asks in one turn of the event loop shares a round trip. */
export class LeaseClient implements Leases {
  readonly #redis: Redis;
  readonly #script: LeaseScript;
  #batch: { call: LeaseCall; resolve(reply: LeaseReply): void; reject(error: unknown): void }[] = [];
  #awayMs = 0;
  #askAgainMs = 0;

  constructor(private readonly options: LeaseClientOptions) {
    this.#script = options.script ?? leaseScript();
    this.#redis = openRedis(options.url, {
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      connectionName: 'counterfoil-limits',
    });
  }

  /** Whether the last call failed: then nobody waits for the next one. */
  get isAway(): boolean {
    return this.#awayMs > 0;
  }

  /** Whether it makes sense to ask now. */
  get mayAsk(): boolean {
    return this.#awayMs === 0 || performance.now() >= this.#askAgainMs;
  }

  /** Throws LeaseUnavailable. */
  call(call: LeaseCall): Promise<LeaseReply> {
    return new Promise((resolve, reject) => {
      if (this.#batch.length === 0) setImmediate(() => this.#sendBatch());
      this.#batch.push({ call, resolve, reject });
    });
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #sendBatch(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    const { timeoutMs } = this.options;
    const late = () => new LeaseUnavailable(`Redis did not answer within ${timeoutMs} ms`);
    try {
      const replies = await answeredWithin(timeoutMs, this.#send(batch.map(({ call }) => call)), late);
      this.#awayMs = 0;
      for (const [index, { resolve }] of batch.entries()) resolve(replies[index] as LeaseReply);
    } catch (error) {
      this.#goAway();
      const failure = new LeaseUnavailable('Redis cannot be asked', { cause: error });
      for (const { reject } of batch) reject(failure);
    }
  }

  #goAway(): void {
    // What still waits in a connection that does not answer would only arrive late.
    if (this.#awayMs === 0 && this.#redis.status === 'ready') this.#redis.disconnect(true);
    this.#awayMs = Math.min(AWAY_LONGEST_MS, Math.max(AWAY_FIRST_MS, this.#awayMs * 2));
    this.#askAgainMs = performance.now() + this.#awayMs;
  }

  async #send(calls: readonly LeaseCall[]): Promise<LeaseReply[]> {
    const replies = await this.#pipeline(calls);
    if (!replies.some(isNoScript)) return replies.map(replyOf);
    await this.#redis.script('LOAD', this.#script.text);
    return (await this.#pipeline(calls)).map(replyOf);
  }

  async #pipeline(calls: readonly LeaseCall[]): Promise<unknown[]> {
    const pipeline = this.#redis.pipeline();
    for (const call of calls) {
      pipeline.evalsha(this.#script.sha, 1, `limits:{${call.merchantId}}`, ...this.#argumentsOf(call));
    }
    return ((await pipeline.exec()) ?? []).map(([error, reply]) => error ?? reply);
  }

  #argumentsOf({ plan, ...call }: LeaseCall): (string | number)[] {
    return [
      this.options.process,
      call.leaves ? 0 : this.options.ttlMs,
      plan.unitsPerSecond,
      plan.burstUnits,
      plan.unitsInFlight,
      call.isPlanKnown ? 1 : 0,
      call.spent,
      call.given,
      call.wanted,
      call.shared,
      call.told,
      call.inFlight,
      call.flightWanted,
      call.supposed,
      call.over,
      call.isFirst ? 1 : 0,
      call.part,
      call.processes,
    ];
  }
}

function isNoScript(reply: unknown): boolean {
  return reply instanceof Error && reply.message.startsWith('NOSCRIPT');
}

function replyOf(reply: unknown): LeaseReply {
  if (reply instanceof Error) throw reply;
  const [given = 0, flight = 0, level = 0, processes = 1, told = 0, over = 0, ...plan] = (
    reply as (string | number)[]
  ).map(Number);
  const [unitsPerSecond = 0, burstUnits = 0, unitsInFlight = 0, isPart = 0] = plan;
  return {
    given,
    flight,
    level,
    processes,
    told,
    over,
    isPart: isPart === 1,
    plan: { unitsPerSecond, burstUnits, unitsInFlight },
  };
}
