import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Found } from '#platform/search.js';
import {
  findSettlement,
  listLines,
  listSettlements,
  type Settlement,
  type SettlementLine,
  type SettlementPage,
} from './settlement-store.js';

/** A page of the merchant's settlements, newest first. */
export class ListSettlementsQuery extends Query<Found<Settlement>> {
  constructor(
    readonly context: RequestContext,
    readonly page: SettlementPage,
  ) {
    super();
  }
}

@QueryHandler(ListSettlementsQuery)
export class ListSettlementsHandler implements IQueryHandler<ListSettlementsQuery> {
  constructor(private readonly database: Database) {}

  execute({ context, page }: ListSettlementsQuery): Promise<Found<Settlement>> {
    return listSettlements(this.database, context, page);
  }
}

/** Throws `not_found`. */
export class GetSettlementQuery extends Query<Settlement> {
  constructor(
    readonly context: RequestContext,
    readonly id: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetSettlementQuery)
export class GetSettlementHandler implements IQueryHandler<GetSettlementQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, id }: GetSettlementQuery): Promise<Settlement> {
    const settlement = await findSettlement(this.database, context.merchantId, id, context.deadline);
    if (!settlement) throw notFound('settlement');
    return settlement;
  }
}

/** A page of what a settlement took, newest first. Throws `not_found`. */
export class ListSettlementLinesQuery extends Query<SettlementLine[]> {
  constructor(
    readonly context: RequestContext,
    readonly page: Parameters<typeof listLines>[2],
  ) {
    super();
  }
}

@QueryHandler(ListSettlementLinesQuery)
export class ListSettlementLinesHandler implements IQueryHandler<ListSettlementLinesQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, page }: ListSettlementLinesQuery): Promise<SettlementLine[]> {
    const lines = await listLines(this.database, context.merchantId, page, context.deadline);
    if (lines.length > 0 || page.beforeVersion !== undefined) return lines;
    const settlement = await findSettlement(this.database, context.merchantId, page.settlementId, context.deadline);
    if (!settlement) throw notFound('settlement');
    return [];
  }
}
