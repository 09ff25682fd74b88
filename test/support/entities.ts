import { DataSource } from 'typeorm';
import { FeePlan, FeePlanAssignment, FeePlanVersionRow } from '#fees/fee-plan.entity.js';
import { ProviderSecret } from '#payments/providers/provider-secret.entity.js';
import { Entities } from '#platform/entities.js';
import type { Database } from '#platform/postgres.js';
import { ApiKey, Merchant } from '#tenancy/merchant.entity.js';

/** Entities on a pool, as PlatformModule has them. */
export async function entitiesOn(database: Database): Promise<Entities> {
  const source = new DataSource({
    type: 'postgres',
    driver: database.typeormDriver,
    entities: [Merchant, ApiKey, ProviderSecret, FeePlan, FeePlanVersionRow, FeePlanAssignment],
    installExtensions: false,
  });
  return new Entities(await source.initialize());
}
