import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import type { Span } from '@opentelemetry/api';
import { ProblemError } from '#kernel/problem.js';
import type { Decision, Refused } from '#ledger/posting/command.js';
import type { Answered, Outcome } from '#ledger/writing/group-extension.js';
import type { Idempotency } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import { type AskedOfPayment, PaymentSubmissions } from './payment-submissions.js';
import { type ProviderFact, subjectOf, type ToldOutcome } from './provider-fact.js';

/** Of more, a span names the first. */
const PAYMENTS_TOLD = 100;

/** `replayed`: an earlier request with the same key was told the same. */
export interface RecordedFacts {
  /** In the order of the facts. */
  readonly outcomes: readonly ToldOutcome[];
  readonly replayed: boolean;
}

/**
 * Records what providers tell of payments, in any order and as often as they like: who tells a fact again is answered `duplicate`, so
 * that nobody needs a key. Without one each fact commits for itself, those of one payment in their order; when it throws, some may
 * have been recorded: tell all of them again. With a key all of them commit together.
 */
export class RecordFactsCommand extends Command<RecordedFacts> {
  constructor(
    readonly context: RequestContext,
    readonly facts: readonly ProviderFact[],
    readonly idempotency?: Idempotency,
  ) {
    super();
  }
}

@CommandHandler(RecordFactsCommand)
export class RecordFactsHandler implements ICommandHandler<RecordFactsCommand> {
  constructor(private readonly submissions: PaymentSubmissions) {}

  async execute({ context, facts, idempotency }: RecordFactsCommand): Promise<RecordedFacts> {
    const recorded = await this.#record(context, facts.map(askedOf), idempotency);
    if (context.span.isRecording()) tellOf(context.span, recorded);
    return recorded;
  }

  async #record(
    context: RequestContext,
    asked: readonly AskedOfPayment[],
    idempotency: Idempotency | undefined,
  ): Promise<RecordedFacts> {
    if (idempotency && asked.length > 0) return this.#together(context, asked, idempotency);
    const settled = await this.submissions.submitEach(context, asked);
    const outcomes = settled.flatMap((one) => {
      if (one.status === 'rejected') throw one.reason;
      return decided(one.value);
    });
    return { outcomes, replayed: false };
  }

  async #together(
    context: RequestContext,
    asked: readonly AskedOfPayment[],
    idempotency: Idempotency,
  ): Promise<RecordedFacts> {
    const outcome = await this.submissions.submit(context, asked, { mode: 'independent', idempotency });
    if (outcome.kind === 'key_reused') throw new ProblemError(outcome.refused.code, outcome.refused.detail);
    if (outcome.kind === 'decided') return { outcomes: decided(outcome), replayed: false };
    const stored = JSON.parse(outcome.response ?? '') as (ToldOutcome | { detail: string })[];
    return { outcomes: stored.map((one) => ('outcome' in one ? one : rejected(one))), replayed: true };
  }
}

/** Payments are found by their ids, as transactions are; and how many facts came to what. */
function tellOf(span: Span, { outcomes }: RecordedFacts): void {
  const ids = new Set(outcomes.flatMap(({ paymentId }) => paymentId ?? []));
  span.setAttribute('counterfoil.payment_id', [...ids].slice(0, PAYMENTS_TOLD));
  const counts = Map.groupBy(outcomes, ({ outcome }) => outcome);
  for (const [outcome, those] of counts) span.setAttribute(`counterfoil.facts.${outcome}`, those.length);
}

function askedOf(told: ProviderFact): AskedOfPayment {
  const { provider, paymentRef, eventId, fact } = told;
  const attributes = { provider, provider_ref: paymentRef };
  return {
    subject: subjectOf(told),
    ask: { kind: 'tell', eventId, fact, attributes },
    types: [fact.type],
    currency: fact.currency,
  };
}

function decided(outcome: Outcome): ToldOutcome[] {
  if (outcome.kind !== 'decided') return nothingDecided();
  return outcome.decisions.map(toldOf);
}

function toldOf(decision: Decision | Answered): ToldOutcome {
  if (!decision.accepted) return rejected(decision);
  return 'response' in decision ? (JSON.parse(decision.response) as ToldOutcome) : nothingDecided();
}

/** The ledger cannot post it, such as in a currency that the merchant has no accounts in. */
function rejected({ detail }: Pick<Refused, 'detail'>): ToldOutcome {
  return { outcome: 'rejected', reason: detail };
}

function nothingDecided(): never {
  throw new Error('the writer decided nothing of a fact');
}
