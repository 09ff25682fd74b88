import type { Logger } from './logging.js';

/** A wait is drawn from interval ± this share, so that many workers do not march in step. */
const JITTER = 0.2;

/** A failure that the next rounds make good is a warning: deadlocks, a database that restarts. From this many in a row on it is an error. */
const PERSISTS_FROM = 3;

/** What is to be done again and again. Any number of workers do it at once: a round must be safe to do twice. */
export interface DutyPlan {
  /** For the log. */
  readonly name: string;
  /** Also between the start of a worker and its first round: one that restarts more often has none. */
  readonly intervalMs: number;
  /** When the round before knows that the next one is needed sooner. */
  readonly nextInMs?: () => number | undefined;
  readonly round: () => Promise<unknown>;
}

/**
 * Something that a worker does again and again by itself. One round at a time; a failing round is logged and the next one
 * comes as usual: what it left undone is still due.
 */
export class Duty {
  readonly #name: string;
  readonly #intervalMs: number;
  readonly #nextInMs: () => number | undefined;
  readonly #round: () => Promise<unknown>;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  #failures = 0;

  constructor(options: DutyPlan & { logger: Logger }) {
    this.#name = options.name;
    this.#intervalMs = options.intervalMs;
    this.#nextInMs = options.nextInMs ?? (() => undefined);
    this.#round = options.round;
    this.#logger = options.logger;
  }

  start(): this {
    this.#schedule();
    return this;
  }

  /** Resolves when the round in hand, if any, has ended; no further one begins. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(): void {
    if (this.#stopped) return;
    const intervalMs = this.#intervalMs * (1 + JITTER * (2 * Math.random() - 1));
    const waitMs = Math.min(intervalMs, this.#nextInMs() ?? Infinity);
    this.#timer = setTimeout(() => {
      this.#running = this.#once();
    }, waitMs);
  }

  async #once(): Promise<void> {
    try {
      await this.#round();
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      const level = this.#failures < PERSISTS_FROM ? 'warn' : 'error';
      this.#logger[level]({ err: error, duty: this.#name, failures: this.#failures }, 'a round of a duty failed');
    }
    this.#schedule();
  }
}
