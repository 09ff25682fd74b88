import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { LessThan } from 'typeorm';
import { notFound } from '#kernel/problem.js';
import { Entities } from '#platform/entities.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { FeePlan, type FeePlanVersionRow } from './fee-plan.entity.js';
import { newestVersions, versionsOf } from './versions.js';

export interface FeePlanView {
  plan: FeePlan;
  /** The newest one. */
  version: FeePlanVersionRow;
}

export interface FeePlanHistory {
  plan: FeePlan;
  /** Oldest first, at least one. */
  versions: FeePlanVersionRow[];
}

/** One plan with all of its versions. Throws `not_found`. */
export class GetFeePlanQuery extends Query<FeePlanHistory> {
  constructor(
    readonly context: RequestBounds,
    readonly planId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetFeePlanQuery)
export class GetFeePlanHandler implements IQueryHandler<GetFeePlanQuery> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context, planId }: GetFeePlanQuery): Promise<FeePlanHistory> {
    return this.database.transaction('platform', context.deadline, async (client) => {
      const manager = this.entities.in(client);
      const plan = await manager.findOneBy(FeePlan, { id: planId });
      if (!plan) throw notFound('fee plan');
      return { plan, versions: (await versionsOf(manager, [planId])).get(planId) ?? [] };
    });
  }
}

/** A page of all plans, newest first. */
export class ListFeePlansQuery extends Query<FeePlanView[]> {
  constructor(
    readonly context: RequestBounds,
    /** Plans older than this one. */
    readonly before: bigint | undefined,
    readonly limit: number,
  ) {
    super();
  }
}

@QueryHandler(ListFeePlansQuery)
export class ListFeePlansHandler implements IQueryHandler<ListFeePlansQuery> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context, before, limit }: ListFeePlansQuery): Promise<FeePlanView[]> {
    const where = before === undefined ? {} : { id: LessThan(before) };
    return this.database.transaction('platform', context.deadline, async (client) => {
      const manager = this.entities.in(client);
      const plans = await manager.find(FeePlan, { where, order: { id: 'DESC' }, take: limit });
      const ids = plans.map(({ id }) => id);
      const newest = await newestVersions(manager, ids);
      return plans.map((plan) => ({ plan, version: newest.get(plan.id) as FeePlanVersionRow }));
    });
  }
}
