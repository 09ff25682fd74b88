import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Found } from '#platform/search.js';
import { type PayoutBody, payoutBody } from './payout-body.js';
import { findPayout, listPayouts, type PayoutPage } from './payout-store.js';

/** Throws `not_found`. */
export class GetPayoutQuery extends Query<PayoutBody> {
  constructor(
    readonly context: RequestContext,
    readonly payoutId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetPayoutQuery)
export class GetPayoutHandler implements IQueryHandler<GetPayoutQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, payoutId }: GetPayoutQuery): Promise<PayoutBody> {
    const found = await findPayout(this.database, context.merchantId, payoutId, context.deadline);
    if (!found) throw notFound('payout');
    return payoutBody(found);
  }
}

export class ListPayoutsQuery extends Query<Found<PayoutBody>> {
  constructor(
    readonly context: RequestContext,
    readonly page: PayoutPage,
  ) {
    super();
  }
}

@QueryHandler(ListPayoutsQuery)
export class ListPayoutsHandler implements IQueryHandler<ListPayoutsQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, page }: ListPayoutsQuery): Promise<Found<PayoutBody>> {
    const found = await listPayouts(this.database, context, page);
    return { ...found, rows: found.rows.map(payoutBody) };
  }
}
