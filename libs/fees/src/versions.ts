import type { EntityManager } from 'typeorm';
import { notFound } from '#kernel/problem.js';
import { among } from '#platform/columns.js';
import { FeePlan, FeePlanVersionRow } from './fee-plan.entity.js';

/** Changes of one plan's versions go one after another, and beside no beginning of a settlement by it. Throws `not_found`. */
export async function lockPlan(manager: EntityManager, planId: bigint): Promise<FeePlan> {
  const plan = await manager.findOne(FeePlan, { where: { id: planId }, lock: { mode: 'pessimistic_write' } });
  if (!plan) throw notFound('fee plan');
  return plan;
}

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
