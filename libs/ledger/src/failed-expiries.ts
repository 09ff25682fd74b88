import { type Clock, systemClock } from '#kernel/clock.js';
import type { Logger } from '#platform/logging.js';

/** Wait before a hold whose expiry failed is tried again; it doubles with each failure, up to the longest. */
const FIRST_WAIT_MS = 10_000;
const LONGEST_WAIT_MS = 600_000;
/** Holds remembered at most. One that finds no room is tried in every round: it costs its merchant's turn, nobody else's. */
const REMEMBERED = 10_000;

/** Holds that could not be expired, and when each is to be tried again. Of one process: another one tries for itself. */
export class FailedExpiries {
  readonly #logger: Logger | undefined;
  readonly #clock: Clock;
  readonly #holds = new Map<bigint, { failures: number; againAtMs: number }>();
  #total = 0;

  constructor(logger?: Logger, clock: Clock = systemClock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Failures since the process began. */
  get total(): number {
    return this.#total;
  }

  /** The holds that are not to be tried yet. */
  waiting(): bigint[] {
    const nowMs = this.#clock.monotonic();
    return [...this.#holds].flatMap(([id, { againAtMs }]) => (againAtMs > nowMs ? [id] : []));
  }

  add(hold: { merchantId: bigint; transactionId: bigint }, reason: unknown): void {
    this.#total += 1;
    const failures = (this.#holds.get(hold.transactionId)?.failures ?? 0) + 1;
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), LONGEST_WAIT_MS);
    if (this.#holds.size < REMEMBERED || failures > 1) {
      this.#holds.set(hold.transactionId, { failures, againAtMs: this.#clock.monotonic() + waitMs });
    }
    const { merchantId, transactionId } = hold;
    this.#logger?.error(
      {
        err: reason,
        merchant_id: String(merchantId),
        transaction_id: String(transactionId),
        failures,
        retry_ms: waitMs,
      },
      'a hold could not be expired',
    );
  }

  remove(transactionId: bigint): void {
    this.#holds.delete(transactionId);
  }
}
