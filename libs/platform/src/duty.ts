import type { JobPlan, JobRuns } from './job-runs.js';
import type { Logger } from './logging.js';

/** A wait is drawn from interval ± this share, so that many workers do not march in step. */
export const JITTER = 0.2;

/** A failure that the next rounds make good is a warning: deadlocks, a database that restarts. From this many in a row on it is an error. */
const PERSISTS_FROM = 3;

/** What is to be done again and again. Any number of workers do it at once: a round must be safe to do twice. */
export interface DutyPlan {
  /** For the log, and for GET /v1/jobs: one of its kind. */
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
  readonly #job: JobPlan;
  readonly #jobs: JobRuns | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  #failures = 0;

  /** `jobs`: where it is noted when it runs. */
  constructor(options: DutyPlan & { logger: Logger; jobs?: JobRuns }) {
    this.#name = options.name;
    this.#intervalMs = options.intervalMs;
    this.#nextInMs = options.nextInMs ?? (() => undefined);
    this.#round = options.round;
    this.#logger = options.logger;
    this.#job = { name: options.name, kind: 'duty', everyMs: options.intervalMs };
    this.#jobs = options.jobs;
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
    this.#jobs?.planned(this.#job, waitMs);
    this.#timer = setTimeout(() => {
      this.#running = this.#once();
    }, waitMs);
  }

  async #once(): Promise<void> {
    this.#jobs?.began(this.#job);
    try {
      await this.#round();
      this.#failures = 0;
      this.#jobs?.ended(this.#job);
    } catch (error) {
      this.#jobs?.failed(this.#job, error);
      this.#failures += 1;
      const level = this.#failures < PERSISTS_FROM ? 'warn' : 'error';
      this.#logger[level]({ err: error, duty: this.#name, failures: this.#failures }, 'a round of a duty failed');
    }
    this.#schedule();
  }
}
