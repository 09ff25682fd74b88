import type { EntityManager } from 'typeorm';
import { among } from '#platform/columns.js';
import { FeePlanVersionRow } from './fee-plan.entity.js';

/** All versions of each plan, oldest first. */
export async function versionsOf(
  manager: EntityManager,
  planIds: readonly bigint[],
): Promise<Map<bigint, FeePlanVersionRow[]>> {
  const where = { planId: among(planIds) };
  const versions = await manager.find(FeePlanVersionRow, { where, order: { version: 'ASC' } });
  return Map.groupBy(versions, ({ planId }) => planId);
}

/** The newest version of each plan. */
export async function newestVersions(
  manager: EntityManager,
  planIds: readonly bigint[],
): Promise<Map<bigint, FeePlanVersionRow>> {
  const newest = await manager
    .createQueryBuilder(FeePlanVersionRow, 'v')
    .distinctOn(['v.plan_id'])
    .where({ planId: among(planIds) })
    .orderBy('v.plan_id')
    .addOrderBy('v.version', 'DESC')
    .getMany();
  return new Map(newest.map((version) => [version.planId, version]));
}
