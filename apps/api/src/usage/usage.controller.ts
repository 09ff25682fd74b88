import { Controller, Get, Query } from '@nestjs/common';
import { QueryBus } from '@nestjs/cqrs';
import type { z } from 'zod';
import { ListUsageQuery } from '#limits/usage/usage.queries.js';
import type { UsageKey } from '#limits/usage/usage-store.js';
import { cursorScope } from '#platform/cursor.js';
import type { RequestContext } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { Pages } from '../pages.js';
import { CurrentContext } from '../request.js';
import { usageBody, usageList, usageQuery } from './schemas.js';

@Controller('v1/usage')
export class UsageController {
  constructor(
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Get()
  @Documented({
    price: 'list',
    summary: 'What was used an hour, by price, newest hour first',
    description: 'Behind by seconds: LIMIT_USAGE_FLUSH_MS. Kept for LIMIT_USAGE_RETENTION_DAYS.',
    response: usageList,
  })
  list(@CurrentContext() context: RequestContext, @Query({ schema: usageQuery }) query: z.output<typeof usageQuery>) {
    const { limit, cursor, ...filters } = query;
    const filter = { fromMs: filters.from, toMs: filters.to };
    return this.pages.pageByKey({
      asking: context,
      scope: cursorScope(context.merchantId, 'usage', filters),
      cursor,
      limit,
      read: (position, count) => {
        const before = position === undefined ? undefined : keyOf(position);
        return this.queries.execute(new ListUsageQuery(context, { filter, before, limit: count }));
      },
      position: positionOf,
      body: usageBody,
    });
  }
}

function positionOf({ hourMs, price, byOperator }: UsageKey): string {
  return JSON.stringify([hourMs, price, byOperator]);
}

function keyOf(position: string): UsageKey {
  const [hourMs, price, byOperator] = JSON.parse(position) as [number, string, boolean];
  return { hourMs, price, byOperator };
}
