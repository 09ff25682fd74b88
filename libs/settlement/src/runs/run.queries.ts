import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { findRun, listRuns, type Run } from './run-store.js';

/** A run as it stands. Throws `not_found`. */
export class GetRunQuery extends Query<Run> {
  constructor(
    readonly context: RequestBounds,
    readonly id: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetRunQuery)
export class GetRunHandler implements IQueryHandler<GetRunQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, id }: GetRunQuery): Promise<Run> {
    const run = await this.database.transaction('platform', context.deadline, (client) => findRun(client, id));
    if (!run) throw notFound('settlement run');
    return run;
  }
}

/** A page of runs, newest first. */
export class ListRunsQuery extends Query<Run[]> {
  constructor(
    readonly context: RequestBounds,
    readonly page: { before: bigint | undefined; limit: number },
  ) {
    super();
  }
}

@QueryHandler(ListRunsQuery)
export class ListRunsHandler implements IQueryHandler<ListRunsQuery> {
  constructor(private readonly database: Database) {}

  execute({ context, page }: ListRunsQuery): Promise<Run[]> {
    return listRuns(this.database, page, context.deadline);
  }
}
