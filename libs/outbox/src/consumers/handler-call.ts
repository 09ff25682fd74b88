import { isPassing, ProblemError } from '#kernel/problem.js';
import { isConnectionLoss, isRetriable, type TransactionClient } from '#platform/postgres.js';
import type { Consumer, LoggedEvent } from './consumer.js';

/**
 * One try of a consumer or reactor, and whose fault its end is. A deadline that passes while PostgreSQL has a statement in hand (or the
 * ledger a command), or before the handler was called, tells nothing of the events: on a slow database healthy ones would become dead letters.
 */
export class HandlerCall {
  /** Merchants for whom the consumer has left something to be done. */
  readonly left: bigint[] = [];
  #isRunning = false;
  #waits = 0;

  apply(consumer: Consumer, client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
    return this.handling(() => consumer.apply(this.#watched(client), events, (ids) => this.left.push(...ids)));
  }

  async handling(work: () => Promise<void>): Promise<void> {
    this.#isRunning = true;
    await work();
    this.#isRunning = false;
  }

  /** What fails stays counted: the handler can only pass its error on. */
  async waitingFor<T>(work: Promise<T>): Promise<T> {
    this.#waits += 1;
    const result = await work;
    this.#waits -= 1;
    return result;
  }

  /** Whether the same events may well be applied another time: the database was away or slow, or somebody else was faster. */
  isPassing(error: unknown): boolean {
    if (isConnectionLoss(error) || isRetriable(error)) return true;
    if (!(error instanceof ProblemError)) return false;
    if (error.code === 'deadline_exceeded') return !this.#isRunning || this.#waits > 0;
    return isPassing(error);
  }

  #watched(client: TransactionClient): TransactionClient {
    return { query: (query) => this.waitingFor(client.query<never>(query)) };
  }
}
