import type { Span } from '@opentelemetry/api';
import { type Clock, systemClock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';

/** Node's timers overflow above this many milliseconds. */
const MAX_TIMER_MS = 2_147_483_647;

/** One deadline per request, handed down to SQL and Redis, so that nothing waits longer than its caller. */
export class Deadline {
  readonly #clock: Clock;
  readonly #atMs: number;

  private constructor(
    clock: Clock,
    atMs: number,
    /** What is done by this deadline shows in the trace below this span. */
    readonly span?: Span,
  ) {
    this.#clock = clock;
    this.#atMs = atMs;
  }

  static after(ms: number, clock: Clock = systemClock): Deadline {
    return new Deadline(clock, clock.monotonic() + ms);
  }

  /** The earlier of this deadline and `ms` from now. */
  within(ms: number): Deadline {
    return new Deadline(this.#clock, Math.min(this.#atMs, this.#clock.monotonic() + ms), this.span);
  }

  /** The same deadline, for what is done in this span: whoever is given the one knows the other, as with Go's contexts. */
  under(span: Span | undefined): Deadline {
    return new Deadline(this.#clock, this.#atMs, span);
  }

  /** Milliseconds left, at least 0. */
  get remainingMs(): number {
    return Math.max(0, this.#atMs - this.#clock.monotonic());
  }

  get expired(): boolean {
    return this.remainingMs === 0;
  }

  /** Settles as `work` does, or rejects when the deadline passes first; `work` itself goes on and its outcome is dropped. */
  async race<T>(work: Promise<T>, onExpiry: () => Error = deadlineExceeded): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const expiry = new Promise<never>((_resolve, reject) => {
      // Rounded up: a timer drops fractions, and a caller who was told "too late" must find the deadline expired.
      timer = setTimeout(() => reject(onExpiry()), Math.min(Math.ceil(this.remainingMs), MAX_TIMER_MS));
    });
    try {
      return await Promise.race([work, expiry]);
    } finally {
      clearTimeout(timer);
    }
  }
}

export function deadlineExceeded(): ProblemError {
  return new ProblemError('deadline_exceeded', 'The request was not finished within its deadline.', { retryAfterS: 1 });
}
