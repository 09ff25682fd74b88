import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { ProblemError } from '#kernel/problem.js';
import type { Outcome } from '#ledger/writing/group-extension.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { findParked } from '../fact-store.js';
import type { SettleParked } from '../payment-part.js';
import { findPayment } from '../payment-store.js';
import { PaymentSubmissions } from '../payment-submissions.js';

/** `needless`: somebody or something was faster. `not yet`: this process's clock is behind PostgreSQL's. */
export type TimerOutcome = 'done' | 'needless' | 'not yet';

const ALONE = { mode: 'single', idempotency: undefined } as const;

/** Gives back what a payment holds beyond its time. */
export class ExpirePaymentCommand extends Command<TimerOutcome> {
  constructor(
    readonly context: RequestContext,
    readonly paymentId: bigint,
  ) {
    super();
  }
}

@CommandHandler(ExpirePaymentCommand)
export class ExpirePaymentHandler implements ICommandHandler<ExpirePaymentCommand> {
  constructor(
    private readonly submissions: PaymentSubmissions,
    private readonly database: Database,
  ) {}

  async execute({ context, paymentId }: ExpirePaymentCommand): Promise<TimerOutcome> {
    const found = await findPayment(this.database, context.merchantId, paymentId, context.deadline);
    if (!found) return 'needless';
    const asked = { ...found, ask: { kind: 'expire' }, types: ['expired'] } as const;
    return outcomeOf(await this.submissions.submit(context, [asked], ALONE));
  }
}

/** Does with a fact that has waited for too long what is to be done with it. */
export class SettleParkedFactCommand extends Command<TimerOutcome> {
  constructor(
    readonly context: RequestContext,
    readonly ask: SettleParked,
  ) {
    super();
  }
}

@CommandHandler(SettleParkedFactCommand)
export class SettleParkedFactHandler implements ICommandHandler<SettleParkedFactCommand> {
  constructor(
    private readonly submissions: PaymentSubmissions,
    private readonly database: Database,
  ) {}

  async execute({ context, ask }: SettleParkedFactCommand): Promise<TimerOutcome> {
    const found = await findParked(this.database, context.merchantId, ask.id, context.deadline);
    if (!found) return 'needless';
    const asked = { ...found, ask, types: [], currency: undefined } as const;
    return outcomeOf(await this.submissions.submit(context, [asked], ALONE));
  }
}

function outcomeOf(outcome: Outcome): TimerOutcome {
  if (outcome.kind !== 'decided') throw new Error('a timer has no idempotency key');
  const [decision] = outcome.decisions;
  if (!decision) throw new Error('the writer decided nothing of a timer');
  if (decision.accepted) return 'done';
  if (decision.code === 'not_pending') return 'needless';
  if (decision.code === 'invalid_transition') return 'not yet';
  throw new ProblemError(decision.code, decision.detail);
}
