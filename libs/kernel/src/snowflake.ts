import type { Clock } from './clock.js';

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

/** The right to issue ids under one worker id, up to and including one millisecond. */
export interface WorkerLease {
  readonly workerId: number;
  /** The last wall-clock millisecond that this process may put into an id; 0 once the lease is lost. */
  issuableUntilMs(): number;
}

/** Thrown instead of issuing an id that could be a duplicate or smaller than an earlier one. */
export class SnowflakeRefused extends Error {
  override name = 'SnowflakeRefused';
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
  #lastMs = 0;
  #sequence = 0;

  constructor(clock: Clock, lease: WorkerLease, maxLeadMs = 1_000) {
    this.#clock = clock;
    this.#lease = lease;
    this.#maxLeadMs = maxLeadMs;
  }

  /** A new id, greater than every id this generator issued and greater than `after`. Throws SnowflakeRefused. */
  next(after = 0n): bigint {
    const wallMs = this.#clock.now();
    const afterMs = after === 0n ? 0 : snowflakeTimeMs(after) + 1;
    let timeMs = Math.max(wallMs, this.#lastMs, after > this.#lastIssued() ? afterMs : 0);
    let sequence = timeMs === this.#lastMs ? this.#sequence + 1 : 0;
    if (sequence >= SEQUENCES_PER_MS) {
      timeMs += 1;
      sequence = 0;
    }
    if (timeMs > wallMs + this.#maxLeadMs) {
      throw new SnowflakeRefused(
        `the next id would lie ${timeMs - wallMs} ms ahead of this machine's clock (at most ${this.#maxLeadMs} ms are allowed)`,
      );
    }
    if (timeMs > this.#lease.issuableUntilMs()) {
      throw new SnowflakeRefused(`the lease on worker id ${this.#lease.workerId} has run out`);
    }
    this.#lastMs = timeMs;
    this.#sequence = sequence;
    return this.#compose(timeMs, sequence);
  }

  #lastIssued(): bigint {
    return this.#lastMs === 0 ? 0n : this.#compose(this.#lastMs, this.#sequence);
  }

  #compose(timeMs: number, sequence: number): bigint {
    return (
      (BigInt(timeMs - EPOCH_MS) << TIME_SHIFT) | (BigInt(this.#lease.workerId) << SEQUENCE_BITS) | BigInt(sequence)
    );
  }
}
