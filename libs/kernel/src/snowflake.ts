import type { Clock } from './clock.js';
import { ProblemError } from './problem.js';

/**
 * External ids: 41 bits of milliseconds since EPOCH_MS, 10 bits of worker id, 12 bits of sequence (the layout that Twitter
 * published in 2010). An id's millisecond *is* its row's `created_at`, so the id alone finds the row through the primary
 * key; the SQL twin of `snowflakeTimeMs` is `snowflake_time(bigint)`.
 */
export const EPOCH_MS = 1_735_689_600_000; // 2025-01-01T00:00:00Z
const WORKER_BITS = 10n;
const SEQUENCE_BITS = 12n;
const TIME_SHIFT = WORKER_BITS + SEQUENCE_BITS;
export const MAX_WORKER_ID = (1 << Number(WORKER_BITS)) - 1;
const SEQUENCES_PER_MS = 1 << Number(SEQUENCE_BITS);
const MAX_ID = (1n << 63n) - 1n;

export function snowflakeTimeMs(id: bigint): number {
  return Number(id >> TIME_SHIFT) + EPOCH_MS;
}

/** The smallest id of a millisecond: the lower bound for "created at or after". Clamped to the range of ids. */
export function firstSnowflakeAt(timeMs: number): bigint {
  if (timeMs <= EPOCH_MS) return 0n;
  const id = BigInt(timeMs - EPOCH_MS) << TIME_SHIFT;
  return id > MAX_ID ? MAX_ID : id;
}

/** Reads an id from outside; undefined for anything that no Snowflake can be. */
export function parseSnowflake(text: string): bigint | undefined {
  if (!/^[1-9][0-9]{0,18}$/.test(text)) return undefined;
  const id = BigInt(text);
  return id <= MAX_ID ? id : undefined;
}

/** The right to issue ids under one worker id, between two milliseconds, both included. Either may change at any time. */
export interface WorkerLease {
  readonly workerId: number;
  /** Earlier holders' ids under this worker id all lie before it, so that a clock that went back since cannot repeat one. */
  readonly issuableFromMs: number;
  /** The last wall-clock millisecond that this process may put into an id; 0 once the lease is lost. */
  issuableUntilMs(): number;
}

/**
 * Thrown instead of issuing an id that could be a duplicate or smaller than an earlier one. It says nothing of what the id was for:
 * nothing fails for good because of it. Why it is so is for the log (`cause`), and not for clients.
 */
export class SnowflakeRefused extends ProblemError {
  override name = 'SnowflakeRefused';
  constructor(reason: string) {
    super('overloaded', 'No ids can be issued at the moment.', { retryAfterS: 1, cause: reason });
  }
}

/**
 * Issues strictly ascending ids. The time part is a hybrid logical clock (Kulkarni et al. 2014): it follows the wall clock,
 * never goes back, and can be told to pass an id that another process issued (`next(after)`), so that ids ascend along
 * every account's versions whatever the clocks of the processes say. It runs ahead of the wall clock by `maxLeadMs` at the
 * most; beyond that it refuses.
 */
export class SnowflakeGenerator {
  readonly #clock: Clock;
  readonly #lease: WorkerLease;
  readonly #maxLeadMs: number;
  #lastId = 0n;
  #lastMs = 0;
  #lastWorkerId = 0;
  #lastSequence = 0;

  constructor(clock: Clock, lease: WorkerLease, maxLeadMs = 1_000) {
    this.#clock = clock;
    this.#lease = lease;
    this.#maxLeadMs = maxLeadMs;
  }

  /** A new id, greater than every id this generator issued and greater than `after`. Throws SnowflakeRefused. */
  next(after = 0n): bigint {
    const { workerId, issuableFromMs } = this.#lease;
    const wallMs = this.#clock.now();
    const foreign = after > this.#lastId;
    const floorMs = foreign ? snowflakeTimeMs(after) : this.#lastMs;
    let timeMs = Math.max(wallMs, issuableFromMs, floorMs);
    let sequence = 0;
    if (timeMs === floorMs) {
      // Only ids of our own under one worker id share a millisecond: another worker's bits could make the new id the smaller.
      const shared = !foreign && workerId === this.#lastWorkerId && this.#lastSequence + 1 < SEQUENCES_PER_MS;
      if (shared) sequence = this.#lastSequence + 1;
      else timeMs += 1;
    }
    if (timeMs <= EPOCH_MS)
      throw new SnowflakeRefused(`this machine's clock stands at ${new Date(wallMs).toISOString()}`);
    if (timeMs > wallMs + this.#maxLeadMs) {
      throw new SnowflakeRefused(
        `the next id would lie ${timeMs - wallMs} ms ahead of this machine's clock (at most ${this.#maxLeadMs} ms are allowed)`,
      );
    }
    if (timeMs > this.#lease.issuableUntilMs()) {
      throw new SnowflakeRefused(`the lease on worker id ${workerId} has run out`);
    }
    this.#lastMs = timeMs;
    this.#lastWorkerId = workerId;
    this.#lastSequence = sequence;
    this.#lastId = (BigInt(timeMs - EPOCH_MS) << TIME_SHIFT) | (BigInt(workerId) << SEQUENCE_BITS) | BigInt(sequence);
    return this.#lastId;
  }
}
