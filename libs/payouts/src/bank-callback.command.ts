import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { z } from 'zod';
import { systemClock } from '#kernel/clock.js';
import { notFound, ProblemError } from '#kernel/problem.js';
import { enqueueDue } from '#platform/due-rows.js';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import { type Delivery, jsonOf } from '#platform/signatures.js';
import { keyOfSecret, refusalOf } from '#platform/standard-webhooks.js';
import { endSpan, isSampled, linkOnce, startFrom, traceparentOf } from '#platform/tracing.js';
import { payoutOf } from './instruction-key.js';
import { PayoutCounts } from './payout-counts.js';
import type { PayoutRow } from './payout-rows.js';
import { findPayout } from './payout-store.js';
import { PAYOUT_HINT } from './payout-timers.js';
import type { PayoutsSettings } from './settings.js';

/** What else it says is not looked at: the bank is asked. */
const CALLBACK = z.looseObject({ key: z.string() });

/**
 * Takes what the bank calls back with as a hint: it is asked at once about the payout, and what it then answers counts. As often as it
 * comes, it asks; it changes nothing by itself. Throws `unauthorized`, `malformed_json`, `not_found`.
 */
export class BankCallbackCommand extends Command<void> {
  constructor(
    readonly context: RequestBounds,
    readonly delivery: Delivery,
  ) {
    super();
  }
}

@CommandHandler(BankCallbackCommand)
export class BankCallbackHandler implements ICommandHandler<BankCallbackCommand> {
  constructor(
    private readonly database: Database,
    private readonly counts: PayoutCounts,
    @Inject(CONFIG) private readonly config: PayoutsSettings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async execute({ context, delivery }: BankCallbackCommand): Promise<void> {
    this.#refuseForged(delivery);
    const said = CALLBACK.safeParse(jsonOf(delivery.body));
    if (!said.success) {
      this.counts.addCallback('unreadable');
      throw new ProblemError('malformed_json', 'The callback is signed, but cannot be read as one.');
    }
    const payout = await this.#find(said.data.key, context);
    if (!payout) {
      this.counts.addCallback('unknown');
      throw notFound('payout');
    }
    tellTraces(payout, context);
    const [merchantId, subjectId] = [BigInt(payout.merchant_id), BigInt(payout.id)];
    const due = { merchantId, subjectId, dueAtMs: systemClock.now() };
    await this.database.write({ merchantIds: [merchantId] }, context.deadline, enqueueDue(PAYOUT_HINT, [due]));
    this.counts.addCallback('heeded');
  }

  /** What exactly was wrong is for our own log alone. */
  #refuseForged(delivery: Delivery): void {
    const { bankSecret, bankToleranceS } = this.config;
    const key = bankSecret === undefined ? undefined : keyOfSecret(bankSecret);
    const clocks = { nowMs: systemClock.now(), toleranceMs: bankToleranceS * 1_000 };
    const reason = key ? refusalOf(delivery, [key], clocks) : 'wrong signature';
    if (!reason) return;
    this.counts.addCallback(reason);
    this.logger.info({ reason }, 'a callback of the bank was refused');
    throw new ProblemError('unauthorized', 'No callback with this signature is expected here now.');
  }

  async #find(key: string, { deadline, span }: RequestBounds): Promise<PayoutRow | undefined> {
    const named = payoutOf(key);
    if (!named) return undefined;
    span.setAttribute('counterfoil.merchant_id', String(named.merchantId));
    return findPayout(this.database, named.merchantId, named.id, deadline);
  }
}

/** The request is the bank's own; what it is about is the payout's, and each links to the other. */
function tellTraces({ id, merchant_id, trace_context }: PayoutRow, { span }: RequestBounds): void {
  span.setAttribute('counterfoil.payout_id', id);
  if (!isSampled(trace_context)) return;
  const attributes = { 'counterfoil.merchant_id': merchant_id, 'counterfoil.payout_id': id };
  const heard = startFrom(trace_context, 'hear bank callback', { attributes });
  linkOnce(heard, [traceparentOf(span)].filter(isSampled));
  linkOnce(span, [traceparentOf(heard)].filter(isSampled));
  endSpan(heard);
}
