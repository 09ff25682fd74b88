import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { notFound } from '#kernel/problem.js';
import type { RequestBounds } from '#platform/request-context.js';
import { withEntities } from '#platform/scoped-entities.js';
import { Merchant } from './merchant.entity.js';

/** One merchant, for the platform. Throws `not_found`. */
export class GetMerchantQuery extends Query<Merchant> {
  constructor(
    readonly bounds: RequestBounds,
    readonly merchantId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetMerchantQuery)
export class GetMerchantHandler implements IQueryHandler<GetMerchantQuery> {
  constructor(@InjectDataSource() private readonly source: DataSource) {}

  async execute({ bounds, merchantId }: GetMerchantQuery): Promise<Merchant> {
    const merchant = await withEntities(this.source, 'platform', bounds.deadline, (manager) =>
      manager.findOneBy(Merchant, { id: merchantId }),
    );
    if (!merchant) throw notFound('merchant');
    return merchant;
  }
}

/** A page of all merchants, newest first. */
export class ListMerchantsQuery extends Query<Merchant[]> {
  constructor(
    readonly bounds: RequestBounds,
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

  async execute({ bounds, before, limit }: ListMerchantsQuery): Promise<Merchant[]> {
    return withEntities(this.source, 'platform', bounds.deadline, (manager) => {
      const query = manager.createQueryBuilder(Merchant, 'm');
      if (before !== undefined) query.where('m.id < :before', { before: String(before) });
      return query.orderBy('m.id', 'DESC').limit(limit).getMany();
    });
  }
}
