import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { systemClock } from '#kernel/clock.js';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { type BreakBody, breakBody } from './break-body.js';
import { type BreakPage, findBreaks, isReport, listBreaks } from './break-store.js';

/** Throws `not_found`; with a report, for a break of another one, too. */
export class GetBreakQuery extends Query<BreakBody> {
  constructor(
    readonly context: RequestContext,
    readonly breakId: bigint,
    readonly reconciliationId?: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetBreakQuery)
export class GetBreakHandler implements IQueryHandler<GetBreakQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, breakId, reconciliationId }: GetBreakQuery): Promise<BreakBody> {
    const { merchantId, deadline } = context;
    const [row] = await findBreaks(this.database, merchantId, [breakId], deadline);
    const isOther = reconciliationId !== undefined && row?.reconciliation_id !== String(reconciliationId);
    if (!row || isOther) throw notFound('break');
    return breakBody(row, systemClock.now());
  }
}

/** A page of breaks, newest first; of one report, which throws `not_found`, or of all. */
export class ListBreaksQuery extends Query<BreakBody[]> {
  constructor(
    readonly context: RequestContext,
    readonly page: BreakPage,
  ) {
    super();
  }
}

@QueryHandler(ListBreaksQuery)
export class ListBreaksHandler implements IQueryHandler<ListBreaksQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context: { merchantId, deadline }, page }: ListBreaksQuery): Promise<BreakBody[]> {
    const { reconciliationId } = page;
    if (reconciliationId !== undefined && !(await isReport(this.database, merchantId, reconciliationId, deadline))) {
      throw notFound('reconciliation');
    }
    const rows = await listBreaks(this.database, merchantId, page, deadline);
    return rows.map((row) => breakBody(row, systemClock.now()));
  }
}
