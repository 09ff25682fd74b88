import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { listUsage, type UsageFilter, type UsageKey } from './usage-store.js';
import type { UsageSum } from './usage-sums.js';

/** A page of what a merchant has used, newest hour first. */
export class ListUsageQuery extends Query<UsageSum[]> {
  constructor(
    readonly context: RequestContext,
    readonly page: { filter: UsageFilter; before: UsageKey | undefined; limit: number },
  ) {
    super();
  }
}

@QueryHandler(ListUsageQuery)
export class ListUsageHandler implements IQueryHandler<ListUsageQuery> {
  constructor(private readonly database: Database) {}

  execute({ context: { merchantId, deadline }, page }: ListUsageQuery): Promise<UsageSum[]> {
    return listUsage(this.database, merchantId, page, deadline);
  }
}
