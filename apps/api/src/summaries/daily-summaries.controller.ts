import { Controller, Get, Query } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import type { z } from 'zod';
import { cursorScope } from '#platform/cursor.js';
import type { RequestContext } from '#platform/request-context.js';
import { ListDailySummariesQuery } from '#summaries/daily-summary.queries.js';
import type { Currentness, SummaryKey } from '#summaries/summary-store.js';
import { Documented } from '../documented.js';
import { Pages } from '../pages.js';
import { CurrentContext } from '../request.js';
import { currentnessBody, dailySummariesQuery, dailySummaryBody, dailySummaryList } from './schemas.js';

@Controller('v1/daily_summaries')
export class DailySummariesController {
  constructor(
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Get()
  @Documented({
    price: 'list',
    summary: 'What was posted a day, by account, type and currency, newest day first',
    description: 'A read model folded from the event log, behind it by moments: `as_of` says how far it has come.',
    response: dailySummaryList,
  })
  async list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: dailySummariesQuery }) query: z.output<typeof dailySummariesQuery>,
  ) {
    const { limit, cursor, ...filters } = query;
    const filter = {
      dayFrom: filters.day_from,
      dayTo: filters.day_to,
      accountId: filters.account_id,
      type: filters.type,
      currency: filters.currency,
    };
    let currentness: Currentness | undefined;
    return this.pages.pageByKey({
      asking: context,
      scope: cursorScope(context.merchantId, 'daily_summaries', filters),
      cursor,
      limit,
      read: async (position, count) => {
        const before = position === undefined ? undefined : keyOf(position);
        const read = await this.queries.execute(new ListDailySummariesQuery(context, { filter, before, limit: count }));
        currentness = read;
        return { rows: read.rows, stoppedAt: read.stoppedAt && positionOf(read.stoppedAt) };
      },
      position: positionOf,
      body: dailySummaryBody,
      rest: () => (currentness ? currentnessBody(currentness) : {}),
    });
  }
}

function positionOf({ day, accountId, type, currency }: SummaryKey): string {
  return JSON.stringify([day, String(accountId), type, currency]);
}

function keyOf(position: string): SummaryKey {
  const [day, accountId, type, currency] = JSON.parse(position) as [string, string, string, string];
  return { day, accountId: BigInt(accountId), type, currency };
}
