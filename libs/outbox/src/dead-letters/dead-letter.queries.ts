import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database, type TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import type { LoggedEvent } from '../consumers/consumer.js';
import { readEventAt } from '../log/event-log.js';
import {
  type DeadLetter,
  type DeadLetterFilter,
  findDeadLetter,
  listDeadLetters,
  merchantOfDeadLetter,
} from './dead-letter-store.js';

/** A page of dead letters, of all merchants unless one is named, newest first. */
export class ListDeadLettersQuery extends Query<DeadLetter[]> {
  constructor(
    readonly context: RequestBounds,
    readonly page: { filter: DeadLetterFilter; beforeId: bigint | undefined; limit: number },
  ) {
    super();
  }
}

@QueryHandler(ListDeadLettersQuery)
export class ListDeadLettersHandler implements IQueryHandler<ListDeadLettersQuery> {
  constructor(private readonly database: Database) {}

  execute({ context, page }: ListDeadLettersQuery): Promise<DeadLetter[]> {
    return listDeadLetters(this.database, page, context.deadline);
  }
}

export interface DeadLetterWithEvent extends DeadLetter {
  /** Undefined once the log's retention has taken it, and where it is none. */
  event: LoggedEvent | undefined;
}

/** One dead letter with the event itself, as it was written. Throws `not_found`. */
export class GetDeadLetterQuery extends Query<DeadLetterWithEvent> {
  constructor(
    readonly context: RequestBounds,
    readonly id: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetDeadLetterQuery)
export class GetDeadLetterHandler implements IQueryHandler<GetDeadLetterQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context: { deadline }, id }: GetDeadLetterQuery): Promise<DeadLetterWithEvent> {
    const merchantId = await merchantOfDeadLetter(this.database, id, deadline);
    return this.database.transaction({ merchantIds: [merchantId] }, deadline, (client) =>
      letterWithEvent(client, merchantId, id),
    );
  }
}

/** In the merchant's scope: the event is not for the platform's to read. Throws `not_found`. */
export async function letterWithEvent(
  client: TransactionClient,
  merchantId: bigint,
  id: bigint,
): Promise<DeadLetterWithEvent> {
  const letter = await findDeadLetter(client, merchantId, id);
  if (!letter) throw notFound('dead letter');
  return { ...letter, event: letter.at && (await readEventAt(client, merchantId, letter.at)) };
}
