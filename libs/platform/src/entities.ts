import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import type { TransactionClient } from './postgres.js';

/** TypeORM for the tables whose rows are read and changed as they are, in the transactions of everything else (ADR 22). */
export class Entities {
  readonly #source: DataSource;

  constructor(source: DataSource) {
    this.#source = source;
  }

  /**
   * A manager of entities in a transaction that is open: in its scope, by its deadline, behind its locks, and committed with what else it
   * writes. It begins no transaction and takes no connection.
   */
  in(client: TransactionClient): EntityManager {
    const runner = this.#source.createQueryRunner();
    const query: (...asked: Parameters<QueryRunner['query']>) => Promise<unknown> = runner.query.bind(runner);
    const own = {
      isTransactionActive: true,
      connect: async () => ({ query: (text: string, values: unknown[]) => client.query({ text, values }) }),
      // PostgreSQL's own error, as all the rest has it.
      query: (...asked: Parameters<QueryRunner['query']>) =>
        query(...asked).catch((error) => {
          throw error.driverError ?? error;
        }),
    };
    return Object.assign(runner, own).manager;
  }
}
