import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource, type EntityManager } from 'typeorm';
import { notFound } from '#kernel/problem.js';
import type { RequestBounds } from '#platform/request-context.js';
import { withEntities } from '#platform/scoped-entities.js';
import { Merchant } from './merchant.entity.js';
import { type LaterZoneRow, listLaterZones, type ZoneFrom } from './merchant-zone-store.js';

/** A merchant with the zone that it is in now, and all that it was in or is to be in, oldest first. */
export interface MerchantView {
  merchant: Merchant;
  timeZone: string;
  timeZones: ZoneFrom[];
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
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  async execute({ context, merchantId }: GetMerchantQuery): Promise<MerchantView> {
    const [view] = await withEntities(this.source, 'platform', context.deadline, async (manager) =>
      withZones(manager, await manager.findBy(Merchant, { id: merchantId })),
    );
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
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  async execute({ context, before, limit }: ListMerchantsQuery): Promise<MerchantView[]> {
    return withEntities(this.source, 'platform', context.deadline, async (manager) => {
      const query = manager.createQueryBuilder(Merchant, 'm');
      if (before !== undefined) query.where('m.id < :before', { before: String(before) });
      return withZones(manager, await query.orderBy('m.id', 'DESC').limit(limit).getMany());
    });
  }
}

async function withZones(manager: EntityManager, merchants: readonly Merchant[]): Promise<MerchantView[]> {
  const ask = (text: string, values: unknown[]): Promise<LaterZoneRow[]> => manager.query(text, values);
  const later = await listLaterZones(
    ask,
    merchants.map(({ id }) => id),
  );
  return merchants.map((merchant) => viewOf(merchant, later.get(merchant.id) ?? []));
}

function viewOf(merchant: Merchant, later: readonly LaterZoneRow[]): MerchantView {
  const zones = later.map(({ time_zone, from_day }) => ({ timeZone: time_zone, from: from_day }));
  const isReplaced = zones[0]?.from === null;
  return {
    merchant,
    timeZone: later.findLast(({ in_force }) => in_force)?.time_zone ?? merchant.timeZone,
    timeZones: isReplaced ? zones : [{ timeZone: merchant.timeZone, from: null }, ...zones],
  };
}
