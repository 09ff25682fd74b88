import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { Refused } from '#ledger/posting/command.js';
import type { PostingReply } from '#ledger/posting/posting.js';
import { type KeptRefusal, recalledRefusal } from '#ledger/writing/group.js';
import type { Outcome } from '#ledger/writing/group-extension.js';
import type { Idempotency } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { ChangedPaymentBody } from './payment-body.js';
import type { ChangePayment } from './payment-part.js';
import type { PaymentAttributes } from './payment-rows.js';
import { findPayment } from './payment-store.js';
import { PaymentSubmissions } from './payment-submissions.js';
import { OWN_PROVIDER, subjectOf } from './provider-fact.js';

export type PaymentReply = PostingReply<{ payment: ChangedPaymentBody } | { refusal: Refused }>;

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
    return replyOf(await this.submissions.submit(context, [asked], { mode: 'single', idempotency }));
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
    return replyOf(await this.submissions.submit(context, [asked], { mode: 'single', idempotency }));
  }
}

function replyOf(outcome: Outcome): PaymentReply {
  if (outcome.kind === 'key_reused') return { result: { refusal: outcome.refused }, replayed: false };
  if (outcome.kind === 'replayed') return { result: resultOf(outcome.response ?? ''), replayed: true };
  const [decision] = outcome.decisions;
  if (!decision?.accepted) return { result: { refusal: decision ?? nothingDecided() }, replayed: false };
  return { result: resultOf('response' in decision ? decision.response : nothingDecided()), replayed: false };
}

/** What the writer keeps with a key: a payment, or a refusal. */
function resultOf(response: string): PaymentReply['result'] {
  const stored = JSON.parse(response) as ChangedPaymentBody | KeptRefusal;
  return 'code' in stored ? { refusal: recalledRefusal(stored) } : { payment: stored };
}

function nothingDecided(): never {
  throw new Error('the writer decided nothing of a payment');
}
