import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { invalid, ProblemError } from '#kernel/problem.js';
import { type AnsweredReply, answeredReply } from '#ledger/writing/answered-reply.js';
import type { Idempotency } from '#platform/idempotency.js';
import { CONFIG } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { RequestedPayoutBody } from './payout-body.js';
import { PayoutCounts } from './payout-counts.js';
import type { TellPayout } from './payout-part.js';
import type { PayoutRow } from './payout-rows.js';
import { findSchedule } from './payout-schedule.js';
import { PayoutSubmissions } from './payout-submissions.js';
import type { PayoutsSettings } from './settings.js';
import type { StoredStatus } from './status.js';

export interface NewPayout {
  /** Minor units, > 0; absent: all that is settled and not paid. */
  readonly amount?: bigint | undefined;
  readonly currency: string;
  /** Absent: that of the merchant's schedule. */
  readonly destination?: string | undefined;
}

export type PayoutReply = AnsweredReply<RequestedPayoutBody>;

/** Reserves what is to be paid; the worker does the rest. Throws `validation_failed` and `invalid_transition`. */
export class RequestPayoutCommand extends Command<PayoutReply> {
  constructor(
    readonly context: RequestContext,
    readonly payout: NewPayout,
    readonly idempotency: Idempotency,
  ) {
    super();
  }
}

@CommandHandler(RequestPayoutCommand)
export class RequestPayoutHandler implements ICommandHandler<RequestPayoutCommand> {
  constructor(
    private readonly submissions: PayoutSubmissions,
    private readonly database: Database,
    private readonly counts: PayoutCounts,
    @Inject(CONFIG) private readonly config: PayoutsSettings,
  ) {}

  async execute({ context, payout, idempotency }: RequestPayoutCommand): Promise<PayoutReply> {
    refuseWithoutBank(this.config);
    const destination = payout.destination ?? (await this.#scheduled(context));
    if (destination == null) throw invalid('destination', 'is required: the merchant’s payout schedule names none');
    const ask = { kind: 'request', ...payout, destination, mayBeNothing: false } as const;
    const outcome = await this.submissions.request(context, ask, idempotency);
    const reply = answeredReply<RequestedPayoutBody>(outcome);
    if (!reply.replayed && 'answer' in reply.result) this.counts.add(['reserved']);
    return reply;
  }

  async #scheduled({ merchantId, deadline }: RequestContext): Promise<string | null | undefined> {
    return (await findSchedule(this.database, merchantId, deadline))?.destination;
  }
}

/** Of whom is paid out by the day, all that is settled and not paid: nothing where there is none. */
export class PayOutDailyCommand extends Command<AnsweredReply<RequestedPayoutBody | Record<never, never>>> {
  constructor(
    readonly context: RequestContext,
    readonly currency: string,
    readonly idempotency: Idempotency,
  ) {
    super();
  }
}

@CommandHandler(PayOutDailyCommand)
export class PayOutDailyHandler implements ICommandHandler<PayOutDailyCommand> {
  constructor(
    private readonly submissions: PayoutSubmissions,
    private readonly database: Database,
    private readonly counts: PayoutCounts,
    @Inject(CONFIG) private readonly config: PayoutsSettings,
  ) {}

  async execute({ context, currency, idempotency }: PayOutDailyCommand) {
    const found = await findSchedule(this.database, context.merchantId, context.deadline);
    if (found?.schedule !== 'daily') return { result: { answer: {} }, replayed: false };
    refuseWithoutBank(this.config);
    const ask = { kind: 'request', currency, destination: found.destination, mayBeNothing: true } as const;
    const reply = answeredReply<object>(await this.submissions.request(context, ask, idempotency));
    if (!reply.replayed && 'answer' in reply.result && 'id' in reply.result.answer) this.counts.add(['reserved']);
    return reply;
  }
}

function refuseWithoutBank({ bankUrl }: PayoutsSettings): void {
  if (bankUrl === undefined) throw new ProblemError('invalid_transition', 'No bank is configured (BANK_URL).');
}

/** Follows what the bank has said. Returns the statuses that the payout went through; none: nothing new. */
export class TellPayoutCommand extends Command<readonly StoredStatus[]> {
  constructor(
    readonly context: RequestContext,
    readonly payout: Pick<PayoutRow, 'id' | 'currency'>,
    readonly said: Omit<TellPayout, 'kind' | 'id'>,
  ) {
    super();
  }
}

@CommandHandler(TellPayoutCommand)
export class TellPayoutHandler implements ICommandHandler<TellPayoutCommand> {
  constructor(
    private readonly submissions: PayoutSubmissions,
    private readonly counts: PayoutCounts,
  ) {}

  async execute({ context, payout, said }: TellPayoutCommand): Promise<readonly StoredStatus[]> {
    const ask = { kind: 'tell', id: BigInt(payout.id), ...said } as const;
    const { result } = answeredReply<StoredStatus[]>(await this.submissions.tell(context, payout.currency, ask));
    if ('refusal' in result) throw new ProblemError(result.refusal.code, result.refusal.detail);
    this.counts.add(result.answer);
    return result.answer;
  }
}
