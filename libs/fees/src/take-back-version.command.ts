import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { isoTime, systemClock } from '#kernel/clock.js';
import { notFound, ProblemError } from '#kernel/problem.js';
import { Entities } from '#platform/entities.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { settled } from './assignments.js';
import { FeePlanVersionRow } from './fee-plan.entity.js';
import { settledByPlan } from './settled-until.js';
import { lockPlan, versionsOf } from './versions.js';

/**
 * Takes back a plan's newest version, as long as it has not begun: nothing was charged by it. Its number is the next one's. Throws
 * `not_found`, and `invalid_transition` where it has begun, is not the newest one, or the only one.
 */
export class TakeBackFeePlanVersionCommand extends Command<void> {
  constructor(
    readonly context: RequestBounds,
    readonly planId: bigint,
    readonly version: number,
  ) {
    super();
  }
}

@CommandHandler(TakeBackFeePlanVersionCommand)
export class TakeBackFeePlanVersionHandler implements ICommandHandler<TakeBackFeePlanVersionCommand> {
  constructor(
    private readonly database: Database,
    private readonly entities: Entities,
  ) {}

  async execute({ context: { deadline }, planId, version }: TakeBackFeePlanVersionCommand): Promise<void> {
    await this.database.transaction('platform', deadline, async (client) => {
      const manager = this.entities.in(client);
      await lockPlan(manager, planId);
      const versions = (await versionsOf(manager, [planId])).get(planId) ?? [];
      const { validFromMs } = planned(versions, version, systemClock.now());
      const settledUntilMs = await settledByPlan(client, planId, validFromMs);
      if (validFromMs < settledUntilMs) throw settled(settledUntilMs);
      await manager.delete(FeePlanVersionRow, { planId, version });
    });
  }
}

/** The version, if it can be taken back. `versions`: the plan's, oldest first. */
function planned(versions: readonly FeePlanVersionRow[], version: number, nowMs: number): FeePlanVersionRow {
  const found = versions.find((one) => one.version === version);
  if (!found) throw notFound('fee plan version');
  const { validFromMs } = found;
  if (validFromMs <= nowMs) {
    const since = validFromMs === -Infinity ? 'ever' : isoTime(validFromMs);
    throw refused(`Version ${version} counts since ${since}: only what has not begun can be taken back.`);
  }
  if (found !== versions.at(-1)) throw refused(`Version ${version + 1} follows it: take that one back first.`);
  if (versions.length === 1) throw refused('It is the only version of the plan, and a plan has one.');
  return found;
}

function refused(detail: string): ProblemError {
  return new ProblemError('invalid_transition', detail);
}
