import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { EntityManager } from 'typeorm';
import { systemClock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';
import { SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import { Entities } from '#platform/entities.js';
import { type Answer, type Answering, IdempotentRequests, PLATFORM_TENANT } from '#platform/idempotency.js';
import { CONFIG } from '#platform/platform.module.js';
import type { TransactionClient } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { settled, tooEarly } from './assignments.js';
import { FeePlan, FeePlanVersionRow } from './fee-plan.entity.js';
import type { FeeRule } from './fee-plan.js';
import type { FeePlanView } from './fee-plan.queries.js';
import { checkRules } from './rule-checks.js';
import type { FeesSettings } from './settings.js';
import { settledByPlan } from './settled-until.js';
import { lockPlan, newestVersions } from './versions.js';

/** What a version of a plan says. */
export interface NewVersion {
  readonly validFromMs: number | undefined;
  readonly refundReturnsFee: boolean;
  readonly rules: readonly FeeRule[];
}

/** Makes a plan with its first version, which counts since ever unless it says otherwise. Throws `validation_failed`. */
export class CreateFeePlanCommand extends Command<Answer> {
  constructor(
    readonly context: RequestBounds,
    readonly name: string,
    readonly first: NewVersion,
    readonly answering: Answering<FeePlanView>,
  ) {
    super();
  }
}

@CommandHandler(CreateFeePlanCommand)
export class CreateFeePlanHandler implements ICommandHandler<CreateFeePlanCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
    private readonly entities: Entities,
  ) {}

  async execute({ context, name, first, answering }: CreateFeePlanCommand): Promise<Answer> {
    checkRules(first.rules);
    return this.requests.answer(PLATFORM_TENANT, context, answering, async (client) => {
      const manager = this.entities.in(client);
      const id = this.ids.next();
      const plan = { id, name, createdAtMs: snowflakeTimeMs(id) };
      await manager.insert(FeePlan, plan);
      const version = { ...first, planId: id, version: 1, validFromMs: first.validFromMs ?? -Infinity };
      return { plan, version: await insertVersion(manager, version) };
    });
  }
}

/**
 * Adds a version to a plan, which counts from now on unless it says otherwise. Throws `not_found`, `validation_failed`, and
 * `invalid_transition` where it would begin before the version before, or change what settled days were charged.
 */
export class AddFeePlanVersionCommand extends Command<Answer> {
  constructor(
    readonly context: RequestBounds,
    readonly planId: bigint,
    readonly version: NewVersion,
    readonly answering: Answering<FeePlanView>,
  ) {
    super();
  }
}

@CommandHandler(AddFeePlanVersionCommand)
export class AddFeePlanVersionHandler implements ICommandHandler<AddFeePlanVersionCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly entities: Entities,
    @Inject(CONFIG) private readonly settings: FeesSettings,
  ) {}

  async execute({ context, planId, version, answering }: AddFeePlanVersionCommand): Promise<Answer> {
    checkRules(version.rules);
    return this.requests.answer(PLATFORM_TENANT, context, answering, async (client) => {
      const manager = this.entities.in(client);
      const plan = await lockPlan(manager, planId);
      const before = (await newestVersions(manager, [planId])).get(planId) as FeePlanVersionRow;
      const validFromMs = version.validFromMs ?? systemClock.now();
      await this.#check(client, before, validFromMs);
      const next = { ...version, planId, version: before.version + 1, validFromMs };
      return { plan, version: await insertVersion(manager, next) };
    });
  }

  async #check(client: TransactionClient, before: FeePlanVersionRow, validFromMs: number): Promise<void> {
    const most = this.settings.feePlanVersions;
    if (before.version >= most) throw new ProblemError('invalid_transition', `The plan has ${most} versions: no more.`);
    if (validFromMs <= before.validFromMs) throw tooEarly(`Version ${before.version} begins`, before);
    const settledUntilMs = await settledByPlan(client, before.planId, validFromMs);
    if (validFromMs < settledUntilMs) throw settled(settledUntilMs);
  }
}

async function insertVersion(
  manager: EntityManager,
  version: Omit<FeePlanVersionRow, 'createdAtMs'>,
): Promise<FeePlanVersionRow> {
  await manager.insert(FeePlanVersionRow, version);
  return manager.findOneByOrFail(FeePlanVersionRow, { planId: version.planId, version: version.version });
}
