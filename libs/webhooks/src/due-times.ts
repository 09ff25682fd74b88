import type { Clock } from '#kernel/clock.js';

/** Merchants whose time is remembered; whoever finds no room is found by the safety round. */
const MOST = 10_000;

/** When merchants next have something due, as far as this process knows. One timer serves all of them. */
export class DueTimes {
  readonly #at = new Map<bigint, number>();
  readonly #onDue: (merchantIds: readonly bigint[]) => void;
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;
  #firesAt = Infinity;

  constructor(onDue: (merchantIds: readonly bigint[]) => void, clock: Clock) {
    this.#onDue = onDue;
    this.#clock = clock;
  }

  /** An earlier time of the merchant's stays. */
  add(merchantId: bigint, inMs: number): void {
    const at = this.#clock.monotonic() + Math.max(0, inMs);
    const known = this.#at.get(merchantId);
    if (known === undefined ? this.#at.size >= MOST : known <= at) return;
    this.#at.set(merchantId, at);
    if (at < this.#firesAt) this.#schedule(at);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#at.clear();
  }

  #schedule(at: number): void {
    clearTimeout(this.#timer);
    this.#firesAt = at;
    // Rounded up: a timer drops fractions, and who came early would find nothing due.
    this.#timer = setTimeout(() => this.#fire(), Math.ceil(Math.max(0, at - this.#clock.monotonic())));
    this.#timer.unref();
  }

  #fire(): void {
    const now = this.#clock.monotonic();
    const due = [...this.#at].filter(([, at]) => at <= now).map(([merchantId]) => merchantId);
    for (const merchantId of due) this.#at.delete(merchantId);
    this.#firesAt = Infinity;
    let next = Infinity;
    for (const at of this.#at.values()) next = Math.min(next, at);
    if (next < Infinity) this.#schedule(next);
    if (due.length > 0) this.#onDue(due);
  }
}
