import { randomUUID } from 'node:crypto';
import type { Clock } from '#kernel/clock.js';
import { Deadline } from '#platform/deadline.js';
import { Duty } from '#platform/duty.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import type { Charged } from '../charge.js';
import { addUsage, type UsageFlush } from './usage-store.js';
import { UsageSums } from './usage-sums.js';

/** Rows of one statement: of so many merchants at most. */
const ROWS = 1_000;
const DEADLINE_MS = 5_000;

export interface UsageOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly flushMs: number;
}

/**
 * What merchants use, added up here and added to `merchant_usage` now and then. A flush whose answer is lost is sent again as it
 * was, under the same number, and counts once. A process that is killed loses what it had not sent: that of one interval.
 */
export class Usage {
  readonly #process = randomUUID();
  readonly #sums = new UsageSums();
  readonly #duty: Duty;
  /** What was sent and not confirmed yet. Nothing is added to it. */
  #sent: UsageFlush | undefined;
  #number = 0;
  #failures = 0;

  constructor(
    private readonly database: Database,
    private readonly options: UsageOptions,
  ) {
    const { logger, flushMs: intervalMs } = options;
    this.#duty = new Duty({ name: 'flush usage', intervalMs, logger, round: () => this.flush() }).start();
  }

  /** Sums that are not written yet. */
  get waiting(): number {
    return this.#sums.size + (this.#sent?.sums.length ?? 0);
  }

  get failures(): number {
    return this.#failures;
  }

  /** Requests that could not be kept. */
  get uncounted(): number {
    return this.#sums.uncounted;
  }

  add(charged: Charged): void {
    this.#sums.add(charged, this.options.clock.now());
  }

  /** Writes what there is. Throws where that fails: then it is written the next time. */
  async flush(): Promise<void> {
    while (this.waiting > 0) {
      this.#sent ??= { process: this.#process, number: this.#number + 1, sums: this.#sums.take(ROWS) };
      this.#number = this.#sent.number;
      try {
        await addUsage(this.database, this.#sent, Deadline.after(DEADLINE_MS));
      } catch (error) {
        this.#failures += 1;
        throw error;
      }
      this.#sent = undefined;
    }
  }

  /** After the last request. What cannot be written now is lost. */
  async close(): Promise<void> {
    await this.#duty.stop();
    await this.flush().catch((error: unknown) =>
      this.options.logger.error({ err: error, sums: this.waiting }, 'usage could not be written before the end'),
    );
  }
}
