import { Controller, Get, Query } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { cursorScope } from '#platform/cursor.js';
import type { RequestContext } from '#platform/request-context.js';
import {
  GetSettlementQuery,
  ListSettlementLinesQuery,
  ListSettlementsQuery,
} from '#settlement/reading/settlement.queries.js';
import { Documented } from '../documented.js';
import { Pages } from '../pages.js';
import { CurrentContext, PathId } from '../request.js';
import { listQuery } from '../schemas.js';
import {
  listSettlementsQuery,
  settlement,
  settlementBody,
  settlementLineBody,
  settlementLineList,
  settlementList,
} from './schemas.js';

const pageQuery = z.strictObject(listQuery);

@Controller('v1/settlements')
export class SettlementsController {
  constructor(
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Get()
  @Documented({ price: 'list', summary: 'List settlements, newest first', response: settlementList })
  list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: listSettlementsQuery }) query: z.output<typeof listSettlementsQuery>,
  ) {
    const { limit, cursor, ...filters } = query;
    const { business_date: businessDate, currency } = filters;
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'settlements', filters),
      cursor,
      limit,
      read: (before, count) =>
        this.queries.execute(new ListSettlementsQuery(context, { before, limit: count, businessDate, currency })),
      position: ({ id }) => id,
      body: settlementBody,
    });
  }

  @Get(':id')
  @Documented({
    price: 'get',
    summary: 'Get a settlement: what a business day comes to in a currency',
    response: settlement,
    problems: ['not_found'],
  })
  async get(@CurrentContext() context: RequestContext, @PathId('settlement') id: bigint) {
    return settlementBody(await this.queries.execute(new GetSettlementQuery(context, id)));
  }

  @Get(':id/lines')
  @Documented({
    price: 'list',
    summary: 'List what a settlement took, newest first, with the fee of each',
    response: settlementLineList,
    problems: ['not_found'],
  })
  lines(
    @CurrentContext() context: RequestContext,
    @PathId('settlement') id: bigint,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, `settlements/${id}/lines`),
      cursor,
      limit,
      read: (beforeVersion, count) =>
        this.queries.execute(new ListSettlementLinesQuery(context, { settlementId: id, beforeVersion, limit: count })),
      position: ({ accountVersion }) => accountVersion,
      body: settlementLineBody,
    });
  }
}
