import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { type EntityManager, LessThan } from 'typeorm';
import { assignmentsOf } from '#fees/assignments.js';
import type { FeePlanAssignment } from '#fees/fee-plan.entity.js';
import { systemClock } from '#kernel/clock.js';
import { notFound } from '#kernel/problem.js';
import { Entities } from '#platform/entities.js';
import { Database, type TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { Merchant } from './merchant.entity.js';
import { type LaterZoneRow, listLaterZones, type ZoneFrom } from './merchant-zone-store.js';

/** A merchant with the zone and the fee plan that it is in now, and all that it was in or is to be in, oldest first. */
export interface MerchantView {
  merchant: Merchant;
  timeZone: string;
  timeZones: ZoneFrom[];
  feePlanId: bigint | undefined;
  feePlans: FeePlanAssignment[];
}

/** One merchant, for the platform. Throws `not_found`. */
export class GetMerchantQuery extends Query<MerchantView> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetMerchantQuery)
export class GetMerchantHandler implements IQueryHandler<GetMerchantQuery> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context, merchantId }: GetMerchantQuery): Promise<MerchantView> {
    const [view] = await this.database.transaction('platform', context.deadline, async (client) => {
      const manager = this.entities.in(client);
      return viewsOf(client, manager, await manager.findBy(Merchant, { id: merchantId }));
    });
    if (!view) throw notFound('merchant');
    return view;
  }
}

/** A page of all merchants, newest first. */
export class ListMerchantsQuery extends Query<MerchantView[]> {
  constructor(
    readonly context: RequestBounds,
    /** Merchants older than this one. */
    readonly before: bigint | undefined,
    readonly limit: number,
  ) {
    super();
  }
}

@QueryHandler(ListMerchantsQuery)
export class ListMerchantsHandler implements IQueryHandler<ListMerchantsQuery> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context, before, limit }: ListMerchantsQuery): Promise<MerchantView[]> {
    const where = before === undefined ? {} : { id: LessThan(before) };
    return this.database.transaction('platform', context.deadline, async (client) => {
      const manager = this.entities.in(client);
      const merchants = await manager.find(Merchant, { where, order: { id: 'DESC' }, take: limit });
      return viewsOf(client, manager, merchants);
    });
  }
}

async function viewsOf(
  client: TransactionClient,
  manager: EntityManager,
  merchants: readonly Merchant[],
): Promise<MerchantView[]> {
  const ids = merchants.map(({ id }) => id);
  const later = await listLaterZones(client, ids);
  const plans = Map.groupBy(await assignmentsOf(manager, ids), ({ merchantId }) => merchantId);
  return merchants.map((merchant) => ({
    merchant,
    ...zonesOf(merchant, later.get(merchant.id) ?? []),
    ...plansOf(plans.get(merchant.id) ?? []),
  }));
}

function zonesOf(merchant: Merchant, later: readonly LaterZoneRow[]): Pick<MerchantView, 'timeZone' | 'timeZones'> {
  const zones = later.map(({ time_zone, from_day }) => ({ timeZone: time_zone, from: from_day }));
  const isReplaced = zones[0]?.from === null;
  return {
    timeZone: later.findLast(({ in_force }) => in_force)?.time_zone ?? merchant.timeZone,
    timeZones: isReplaced ? zones : [{ timeZone: merchant.timeZone, from: null }, ...zones],
  };
}

function plansOf(feePlans: FeePlanAssignment[]): Pick<MerchantView, 'feePlanId' | 'feePlans'> {
  const nowMs = systemClock.now();
  return { feePlanId: feePlans.findLast(({ validFromMs }) => validFromMs <= nowMs)?.planId, feePlans };
}
