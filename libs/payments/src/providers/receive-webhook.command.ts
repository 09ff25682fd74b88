import { Inject } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { systemClock } from '#kernel/clock.js';
import { ProblemError } from '#kernel/problem.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { RequestBounds } from '#platform/request-context.js';
import type { Delivery, Refusal } from '#platform/signatures.js';
import { traceparentOf } from '#platform/tracing.js';
import type { PaymentsSettings } from '../settings.js';
import { Inbox } from './inbox.js';
import { type InboxRow, receive } from './inbox-store.js';
import { validKeys } from './provider-secrets.js';
import { isProviderName, providerOf } from './providers.js';
import { WebhookCounts } from './webhook-counts.js';

/** For who has no secret: signatures are compared all the same, so that nobody learns from the time who has one. */
const NOBODYS_KEY = Buffer.alloc(32);

/** `applied`: all of it has been worked through; else the worker does so. */
export interface ReceivedWebhook {
  readonly applied: boolean;
}

/**
 * Takes what a provider sends: checks whose it is, keeps it, then applies it as far as that goes within PROVIDER_APPLY_MS. Throws
 * `unauthorized`, in the same words for an unknown merchant, a provider without a secret and a wrong signature; `malformed_json` for
 * something that is signed and cannot be read, which is kept.
 */
export class ReceiveWebhookCommand extends Command<ReceivedWebhook> {
  constructor(
    readonly context: RequestBounds,
    /** `merchantId` undefined: what the path has is no id. */
    readonly to: { readonly provider: string; readonly merchantId: bigint | undefined },
    readonly delivery: Delivery,
    /** Asked before anything is done for it, once it is known that the merchant's provider has sent it. Rejects with what that is told. */
    readonly admit: (merchantId: bigint) => Promise<void>,
  ) {
    super();
  }
}

@CommandHandler(ReceiveWebhookCommand)
export class ReceiveWebhookHandler implements ICommandHandler<ReceiveWebhookCommand> {
  constructor(
    private readonly database: Database,
    private readonly ids: SnowflakeGenerator,
    private readonly inbox: Inbox,
    private readonly counts: WebhookCounts,
    @Inject(CONFIG) private readonly config: PaymentsSettings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async execute({ context, to, delivery, admit }: ReceiveWebhookCommand): Promise<ReceivedWebhook> {
    const { merchantId, provider } = to;
    if (merchantId === undefined || !isProviderName(provider)) throw this.#refuse(to, 'unsigned');
    const keys = await validKeys(this.database, { merchantId, provider }, context.deadline);
    const clocks = { nowMs: systemClock.now(), toleranceMs: this.config.providerToleranceS * 1_000 };
    const verdict = providerOf(provider).verify(delivery, keys.length > 0 ? keys : [NOBODYS_KEY], clocks);
    if (!verdict.accepted) throw this.#refuse(to, verdict.reason);
    if (keys.length === 0) throw this.#refuse(to, 'wrong signature');
    context.span.setAttribute('counterfoil.merchant_id', String(merchantId));
    await admit(merchantId);
    const traceContext = traceparentOf(context.span);
    const row = { merchantId, id: this.ids.next(), provider, body: verdict.body, traceContext };
    const dueAtMs = clocks.nowMs + this.config.providerInboxRetryMs;
    const kept = await receive(this.database, row, dueAtMs, context.deadline);
    this.counts.add(provider, 'accepted');
    const applied = await this.#apply(kept, context);
    // What was signed is kept; the sender has the whole again, until it is signed.
    if (verdict.refused > 0) throw this.#refuse(to, 'wrong signature');
    return { applied };
  }

  /** Whatever hinders it, the row is there, and the worker's turn comes. */
  async #apply(row: InboxRow, { deadline, span, cost }: RequestBounds): Promise<boolean> {
    const soon = Deadline.after(Math.min(this.config.providerApplyMs, deadline.remainingMs));
    try {
      const isReadable = await soon.race(this.inbox.apply(row, { deadline: soon, span, cost }));
      if (isReadable) return true;
    } catch (error) {
      this.logger.warn(
        { err: error, merchant_id: String(row.merchantId), inbox_id: String(row.id), provider: row.provider },
        'a webhook is kept and was not applied at once',
      );
      return false;
    }
    throw new ProblemError(
      'malformed_json',
      `The webhook is signed and kept, but cannot be read as one of ${row.provider}.`,
    );
  }

  /** What exactly was wrong is for our own log alone. */
  #refuse({ provider, merchantId }: ReceiveWebhookCommand['to'], reason: Refusal): ProblemError {
    this.counts.add(provider, reason);
    if (merchantId !== undefined) {
      this.logger.info({ merchant_id: String(merchantId), reason }, 'a webhook was refused');
    }
    return new ProblemError('unauthorized', 'No webhook with this signature is expected here now.');
  }
}
