import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { type AnsweredReply, answeredReply } from '#ledger/writing/answered-reply.js';
import type { Idempotency } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { ChangedPaymentBody } from './payment-body.js';
import type { ChangePayment } from './payment-part.js';
import type { PaymentAttributes } from './payment-rows.js';
import { findPayment } from './payment-store.js';
import { PaymentSubmissions } from './payment-submissions.js';
import { OWN_PROVIDER, subjectOf } from './provider-fact.js';

export type PaymentReply = AnsweredReply<ChangedPaymentBody>;

export interface NewPayment {
  /** Minor units, > 0. */
  readonly amount: bigint;
  readonly currency: string;
  readonly capture: 'automatic' | 'manual';
  readonly provider?: string | undefined;
  readonly providerRef?: string | undefined;
  readonly description?: string | undefined;
  readonly metadata?: PaymentAttributes['metadata'] | undefined;
}

/** Opens a payment, or says of one that its provider has told of already what the merchant knows of it. */
export class OpenPaymentCommand extends Command<PaymentReply> {
  constructor(
    readonly context: RequestContext,
    readonly payment: NewPayment,
    readonly idempotency: Idempotency,
  ) {
    super();
  }
}

@CommandHandler(OpenPaymentCommand)
export class OpenPaymentHandler implements ICommandHandler<OpenPaymentCommand> {
  constructor(
    private readonly submissions: PaymentSubmissions,
    private readonly ids: SnowflakeGenerator,
  ) {}

  async execute({ context, payment, idempotency }: OpenPaymentCommand): Promise<PaymentReply> {
    const { amount, currency, capture, provider, providerRef } = payment;
    const own = provider === undefined || providerRef === undefined ? String(this.ids.next()) : undefined;
    const subject = own ? subjectOf({ provider: OWN_PROVIDER, paymentRef: own }) : `${provider}/${providerRef}`;
    const attributes = {
      ...(own !== undefined && { id: own }),
      provider: provider ?? null,
      provider_ref: providerRef ?? null,
      capture,
      description: payment.description ?? null,
      metadata: payment.metadata ?? null,
    };
    const asked = {
      subject,
      ask: { kind: 'open', amount, currency, attributes },
      types: ['authorised'],
      currency,
    } as const;
    return answeredReply(await this.submissions.submit(context, [asked], { mode: 'single', idempotency }));
  }
}

/** Captures, voids or refunds (some of) a payment. Throws `not_found`. */
export class ChangePaymentCommand extends Command<PaymentReply> {
  constructor(
    readonly context: RequestContext,
    readonly paymentId: bigint,
    readonly change: ChangePayment,
    readonly idempotency: Idempotency,
  ) {
    super();
  }
}

@CommandHandler(ChangePaymentCommand)
export class ChangePaymentHandler implements ICommandHandler<ChangePaymentCommand> {
  constructor(
    private readonly submissions: PaymentSubmissions,
    private readonly database: Database,
  ) {}

  async execute({ context, paymentId, change, idempotency }: ChangePaymentCommand): Promise<PaymentReply> {
    const found = await findPayment(this.database, context.merchantId, paymentId, context.deadline);
    if (!found) throw notFound('payment');
    const asked = { ...found, ask: change, types: ['captured'] } as const;
    return answeredReply(await this.submissions.submit(context, [asked], { mode: 'single', idempotency }));
  }
}
