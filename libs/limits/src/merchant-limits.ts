import { Command, CommandHandler, type ICommandHandler, type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { Limits } from './limits.js';
import type { Plan } from './plan.js';
import { findPlan, removePlan, setPlan } from './plan-store.js';

export interface MerchantLimits extends Plan {
  /** Whether the merchant has limits of its own, and not everybody's. */
  isOwn: boolean;
}

/** Throws `not_found`. */
export class GetMerchantLimitsQuery extends Query<MerchantLimits> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetMerchantLimitsQuery)
export class GetMerchantLimitsHandler implements IQueryHandler<GetMerchantLimitsQuery> {
  constructor(
    private readonly database: Database,
    private readonly limits: Limits,
  ) {}

  async execute({ context, merchantId }: GetMerchantLimitsQuery): Promise<MerchantLimits> {
    const plan = await findPlan(this.database, merchantId, context.deadline);
    if (plan === undefined) throw notFound('merchant');
    return { ...(plan ?? this.limits.defaults), isOwn: plan !== null };
  }
}

/** Gives a merchant limits of its own; undefined: everybody's again. At once in this process. Throws `not_found`. */
export class SetMerchantLimitsCommand extends Command<void> {
  constructor(
    readonly context: RequestBounds,
    readonly merchantId: bigint,
    readonly plan: Plan | undefined,
  ) {
    super();
  }
}

@CommandHandler(SetMerchantLimitsCommand)
export class SetMerchantLimitsHandler implements ICommandHandler<SetMerchantLimitsCommand> {
  constructor(
    private readonly database: Database,
    private readonly limits: Limits,
  ) {}

  async execute({ context: { deadline }, merchantId, plan }: SetMerchantLimitsCommand): Promise<void> {
    const isThere = plan
      ? await setPlan(this.database, merchantId, plan, deadline)
      : await removePlan(this.database, merchantId, deadline);
    if (!isThere) throw notFound('merchant');
    this.limits.changed(merchantId, plan);
  }
}
