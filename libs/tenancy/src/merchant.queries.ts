import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { LessThan } from 'typeorm';
import { notFound } from '#kernel/problem.js';
import { Entities } from '#platform/entities.js';
import { Database, type TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
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
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context, merchantId }: GetMerchantQuery): Promise<MerchantView> {
    const [view] = await this.database.transaction('platform', context.deadline, async (client) =>
      withZones(client, await this.entities.in(client).findBy(Merchant, { id: merchantId })),
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
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context, before, limit }: ListMerchantsQuery): Promise<MerchantView[]> {
    const where = before === undefined ? {} : { id: LessThan(before) };
    return this.database.transaction('platform', context.deadline, async (client) => {
      const merchants = await this.entities.in(client).find(Merchant, { where, order: { id: 'DESC' }, take: limit });
      return withZones(client, merchants);
    });
  }
}

async function withZones(client: TransactionClient, merchants: readonly Merchant[]): Promise<MerchantView[]> {
  const ids = merchants.map(({ id }) => id);
  const later = await listLaterZones(client, ids);
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
