import type { EntityManager } from 'typeorm';
import { isoTime } from '#kernel/clock.js';
import { invalid, ProblemError } from '#kernel/problem.js';
import { among } from '#platform/columns.js';
import { FeePlan, FeePlanAssignment } from './fee-plan.entity.js';
import type { PlanFrom } from './spans.js';

/** Oldest first. */
export function assignmentsOf(manager: EntityManager, merchantIds: readonly bigint[]): Promise<FeePlanAssignment[]> {
  return manager.find(FeePlanAssignment, { where: { merchantId: among(merchantIds) }, order: { validFromMs: 'ASC' } });
}

/** Puts a merchant that is being opened on a plan, since ever. Throws `validation_failed` at `fee_plan_id`. */
export async function assignFirstPlan(manager: EntityManager, merchantId: bigint, planId: bigint): Promise<void> {
  await checkPlan(manager, planId);
  await manager.insert(FeePlanAssignment, { merchantId, planId, validFromMs: -Infinity });
}

/** Throws `validation_failed` at `fee_plan_id`. */
export async function checkPlan(manager: EntityManager, planId: bigint): Promise<void> {
  if (!(await manager.existsBy(FeePlan, { id: planId }))) throw invalid('fee_plan_id', 'there is no such fee plan');
}

export interface AssignmentChange {
  /** Those from then on are superseded. */
  readonly supersedesFromMs: number;
  readonly added: PlanFrom | undefined;
}

/**
 * What it takes to have a merchant on a plan from a time on; undefined: nothing. What was planned from then on is superseded.
 * `assignments`: the merchant's, oldest first. Throws `invalid_transition` where that would change a day that is settled, or begin
 * before what is in force did.
 */
export function planChange(
  assignments: readonly PlanFrom[],
  wanted: PlanFrom,
  { nowMs, settledUntilMs }: { nowMs: number; settledUntilMs: number },
): AssignmentChange | undefined {
  const { planId, validFromMs } = wanted;
  const superseded = assignments.filter((one) => one.validFromMs >= validFromMs);
  const before = assignments[assignments.length - superseded.length - 1];
  const isSame = before?.planId === planId;
  const [only, ...others] = superseded;
  if (others.length === 0 && (only ? isEqual(only, wanted) : isSame)) return undefined;
  const inForce = assignments.findLast((one) => one.validFromMs <= nowMs);
  if (inForce && validFromMs < inForce.validFromMs) throw tooEarly('The plan that the merchant is on began', inForce);
  if (validFromMs < settledUntilMs) throw settled(settledUntilMs);
  return { supersedesFromMs: validFromMs, added: isSame ? undefined : wanted };
}

function isEqual(one: PlanFrom, other: PlanFrom): boolean {
  return one.planId === other.planId && one.validFromMs === other.validFromMs;
}

/** `validFromMs` is a time: nothing comes before what counts since ever. */
export function tooEarly(what: string, { validFromMs }: { validFromMs: number }): ProblemError {
  return new ProblemError('invalid_transition', `${what} at ${isoTime(validFromMs)}: another one can only follow it.`);
}

export function settled(untilMs: number): ProblemError {
  const until = isoTime(untilMs);
  return new ProblemError('invalid_transition', `Days are settled up to ${until}: fees may change from then on.`);
}
