import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { type EntityManager, MoreThanOrEqual } from 'typeorm';
import { systemClock } from '#kernel/clock.js';
import { notFound } from '#kernel/problem.js';
import { Entities } from '#platform/entities.js';
import { Database, type TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { type AssignmentChange, assignmentsOf, checkPlan, planChange } from './assignments.js';
import { FeePlanAssignment } from './fee-plan.entity.js';
import { settledUntil } from './settled-until.js';

/**
 * Puts a merchant on a plan from a time on. Without one: since ever, if it was on none and nothing of it is settled; otherwise now.
 * Twice is once. Throws `not_found`, `validation_failed`, `invalid_transition`.
 */
export class AssignFeePlanCommand extends Command<void> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
    readonly wanted: { planId: bigint; validFromMs: number | undefined },
  ) {
    super();
  }
}

@CommandHandler(AssignFeePlanCommand)
export class AssignFeePlanHandler implements ICommandHandler<AssignFeePlanCommand> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context: { deadline }, merchantId, wanted }: AssignFeePlanCommand): Promise<void> {
    await this.database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
      await lockMerchant(client, merchantId);
      const manager = this.entities.in(client);
      await checkPlan(manager, wanted.planId);
      const assignments = await assignmentsOf(manager, [merchantId]);
      const settledUntilMs = await settledUntil(client, merchantId);
      const nowMs = systemClock.now();
      const isFirst = assignments.length === 0 && settledUntilMs === -Infinity;
      const validFromMs = wanted.validFromMs ?? (isFirst ? -Infinity : nowMs);
      const change = planChange(assignments, { planId: wanted.planId, validFromMs }, { nowMs, settledUntilMs });
      if (change) await carryOut(manager, merchantId, change);
    });
  }
}

/** Changes of one merchant go one after another, and beside no beginning of a settlement. */
const LOCK = 'SELECT FROM merchants WHERE id = $1 FOR UPDATE';

async function lockMerchant(client: TransactionClient, merchantId: bigint): Promise<void> {
  const { rowCount } = await client.query({ text: LOCK, values: [merchantId] });
  if (rowCount === 0) throw notFound('merchant');
}

async function carryOut(
  manager: EntityManager,
  merchantId: bigint,
  { supersedesFromMs, added }: AssignmentChange,
): Promise<void> {
  await manager.delete(FeePlanAssignment, { merchantId, validFromMs: MoreThanOrEqual(supersedesFromMs) });
  if (added) await manager.insert(FeePlanAssignment, { merchantId, ...added });
}
