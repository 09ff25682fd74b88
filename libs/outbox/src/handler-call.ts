import { LedgerError } from '#kernel/problem.js';
import { isConnectionLoss, isRetriable, type TransactionClient } from '#platform/postgres.js';
import type { Consumer, LoggedEvent } from './consumer.js';

/**
 * One try of a consumer's handler, and whose fault its end is. A deadline that passes while PostgreSQL has a statement in hand, or
 * before the handler was called, tells nothing of the events: on a slow database healthy ones would become dead letters.
 */
export class HandlerCall {
  #isRunning = false;
  #statements = 0;

  async apply(consumer: Consumer, client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
    this.#isRunning = true;
    await consumer.apply(this.#watched(client), events);
    this.#isRunning = false;
  }

  /** Whether the same events may well be applied another time: the database was away or slow, or somebody else was faster. */
  isPassing(error: unknown): boolean {
    if (isConnectionLoss(error) || isRetriable(error)) return true;
    if (!(error instanceof LedgerError)) return false;
    if (error.code === 'deadline_exceeded') return !this.#isRunning || this.#statements > 0;
    return error.code === 'database_unavailable' || error.code === 'overloaded';
  }

  /** A statement that fails stays counted: the handler can only pass its error on. */
  #watched(client: TransactionClient): TransactionClient {
    return {
      query: async (query) => {
        this.#statements += 1;
        const result = await client.query<never>(query);
        this.#statements -= 1;
        return result;
      },
    };
  }
}
