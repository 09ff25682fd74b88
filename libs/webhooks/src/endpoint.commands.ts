import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { invalid, notFound, ProblemError } from '#kernel/problem.js';
import { SnowflakeGenerator, snowflakeTimeMs } from '#kernel/snowflake.js';
import { MerchantLog } from '#outbox/log/append.js';
import type { EventType } from '#outbox/log/catalogue.js';
import { type Answer, type Answering, IdempotentRequests } from '#platform/idempotency.js';
import { Database } from '#platform/postgres.js';
import { publicUrl, UrlRefused, type UrlRules, urlRulesOf } from '#platform/public-url.js';
import type { RequestContext } from '#platform/request-context.js';
import { newKey, secretOf } from '#platform/standard-webhooks.js';
import { traceparentOf } from '#platform/tracing.js';
import { endpointOfDelivery, findDelivery, makeDueAgain, type WebhookDelivery } from './deliveries.js';
import { DueHints } from './due-hints.js';
import {
  deleteEndpoint,
  enableEndpoint,
  insertEndpoint,
  insertSecret,
  lockEndpoint,
  type Ordering,
  retireSecrets,
  signingSecrets,
  type WebhookEndpoint,
} from './endpoint-store.js';
import type { WebhooksSettings } from './settings.js';

/** An endpoint and a secret that signs for it, which is told once. */
export interface EndpointWithSecret {
  endpoint: WebhookEndpoint;
  secret: string;
}

/** Of an event that a request causes, at the time of an id that was issued for it. */
function toldBy({ span }: RequestContext, id: bigint): { occurredAtMs: number; traceContext: string | undefined } {
  return { occurredAtMs: snowflakeTimeMs(id), traceContext: traceparentOf(span) };
}

/** Registers a URL for events from now on. Throws `validation_failed`. */
export class CreateWebhookEndpointCommand extends Command<Answer> {
  constructor(
    readonly context: RequestContext,
    /** `eventTypes` null: all, also those that do not exist yet. */
    readonly endpoint: { url: string; eventTypes: readonly EventType[] | null; ordering: Ordering },
    readonly settings: WebhooksSettings,
    readonly answering: Answering<EndpointWithSecret>,
  ) {
    super();
  }
}

@CommandHandler(CreateWebhookEndpointCommand)
export class CreateWebhookEndpointHandler implements ICommandHandler<CreateWebhookEndpointCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
  ) {}

  async execute({ context, endpoint, settings, answering }: CreateWebhookEndpointCommand): Promise<Answer> {
    const { merchantId } = context;
    const url = checked(endpoint.url, urlRulesOf(settings));
    const [id, secretId, key] = [this.ids.next(), this.ids.next(), newKey()];
    const limit = settings.webhookEndpointsPerMerchant;
    return this.requests.answer(merchantId, context, answering, async (client) => {
      const log = await MerchantLog.lock(client, merchantId);
      if (!(await insertEndpoint(client, merchantId, { ...endpoint, id, url }, limit)))
        throw invalid('url', `is one too many: a merchant has at most ${limit} endpoints`);
      await insertSecret(client, merchantId, { endpointId: id, id: secretId, key });
      const { eventTypes, ordering } = endpoint;
      await log.append({
        type: 'webhook_endpoint.created',
        data: {
          endpoint_id: String(id),
          host: new URL(url).host,
          event_types: eventTypes && [...eventTypes],
          ordering,
        },
        ...toldBy(context, id),
      });
      return { endpoint: await lockEndpoint(client, merchantId, id), secret: secretOf(key) };
    });
  }
}

function checked(url: string, rules: UrlRules): string {
  try {
    return publicUrl(url, rules).href;
  } catch (error) {
    if (error instanceof UrlRefused) throw invalid('url', error.message);
    throw error;
  }
}

/** Each makes every signature header longer. */
const MAX_SIGNING_SECRETS = 5;

/**
 * Makes a new secret, which signs at once. The one before signs beside it for `overlapMs`, and earlier ones until their own
 * end: whichever of them is deployed goes on verifying. Throws `not_found`, and `invalid_transition` when too many sign.
 */
export class RotateWebhookSecretCommand extends Command<Answer> {
  constructor(
    readonly context: RequestContext,
    readonly endpointId: bigint,
    readonly overlapMs: number,
    readonly answering: Answering<EndpointWithSecret>,
  ) {
    super();
  }
}

@CommandHandler(RotateWebhookSecretCommand)
export class RotateWebhookSecretHandler implements ICommandHandler<RotateWebhookSecretCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly ids: SnowflakeGenerator,
  ) {}

  execute({ context, endpointId, overlapMs, answering }: RotateWebhookSecretCommand): Promise<Answer> {
    const { merchantId } = context;
    const [id, key] = [this.ids.next(), newKey()];
    return this.requests.answer(merchantId, context, answering, async (client) => {
      const log = await MerchantLog.lock(client, merchantId);
      const endpoint = await lockEndpoint(client, merchantId, endpointId);
      refuseTooMany(await signingSecrets(client, merchantId, endpointId));
      await retireSecrets(client, merchantId, endpointId, overlapMs);
      await insertSecret(client, merchantId, { endpointId, id, key });
      const data = { endpoint_id: String(endpointId) };
      await log.append({ type: 'webhook_endpoint.secret_rotated', data, ...toldBy(context, id) });
      return { endpoint, secret: secretOf(key) };
    });
  }
}

function refuseTooMany({ signing, firstEndMs }: { signing: number; firstEndMs: number | null }): void {
  if (signing < MAX_SIGNING_SECRETS) return;
  const end = firstEndMs === null ? 'its end' : new Date(firstEndMs).toISOString();
  const detail = `${signing} secrets of the endpoint sign at present: rotate again after ${end}, when the oldest stops.`;
  throw new ProblemError('invalid_transition', detail);
}

/** Sends nothing more to an endpoint and forgets its secrets. Throws `not_found`. */
export class DeleteWebhookEndpointCommand extends Command<void> {
  constructor(
    readonly context: RequestContext,
    readonly endpointId: bigint,
  ) {
    super();
  }
}

@CommandHandler(DeleteWebhookEndpointCommand)
export class DeleteWebhookEndpointHandler implements ICommandHandler<DeleteWebhookEndpointCommand> {
  constructor(
    private readonly database: Database,
    private readonly ids: SnowflakeGenerator,
  ) {}

  async execute({ context, endpointId }: DeleteWebhookEndpointCommand): Promise<void> {
    const { merchantId, deadline } = context;
    await this.database.transaction({ merchantIds: [merchantId] }, deadline, async (client) => {
      const log = await MerchantLog.lock(client, merchantId);
      if (!(await deleteEndpoint(client, merchantId, endpointId))) throw notFound('webhook endpoint');
      const data = { endpoint_id: String(endpointId) };
      await log.append({ type: 'webhook_endpoint.deleted', data, ...toldBy(context, this.ids.next()) });
    });
  }
}

/**
 * Lets a disabled endpoint have events again, from now on, and first what was due when it was disabled. One that is enabled
 * stays as it is. Throws `not_found`.
 */
export class EnableWebhookEndpointCommand extends Command<Answer> {
  constructor(
    readonly context: RequestContext,
    readonly endpointId: bigint,
    readonly answering: Answering<WebhookEndpoint>,
  ) {
    super();
  }
}

@CommandHandler(EnableWebhookEndpointCommand)
export class EnableWebhookEndpointHandler implements ICommandHandler<EnableWebhookEndpointCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly hints: DueHints,
    private readonly ids: SnowflakeGenerator,
  ) {}

  async execute({ context, endpointId, answering }: EnableWebhookEndpointCommand): Promise<Answer> {
    const { merchantId } = context;
    const answer = await this.requests.answer(merchantId, context, answering, async (client) => {
      const log = await MerchantLog.lock(client, merchantId);
      const { status } = await lockEndpoint(client, merchantId, endpointId);
      if (status === 'disabled') {
        await enableEndpoint(client, merchantId, endpointId);
        const data = { endpoint_id: String(endpointId) };
        await log.append({ type: 'webhook_endpoint.enabled', data, ...toldBy(context, this.ids.next()) });
      }
      return lockEndpoint(client, merchantId, endpointId);
    });
    this.hints.send();
    return answer;
  }
}

/** Sends a delivery again, at once. Throws `not_found`, and `invalid_transition` while its endpoint is disabled. */
export class RedeliverCommand extends Command<Answer> {
  constructor(
    readonly context: RequestContext,
    readonly deliveryId: bigint,
    readonly answering: Answering<WebhookDelivery>,
  ) {
    super();
  }
}

@CommandHandler(RedeliverCommand)
export class RedeliverHandler implements ICommandHandler<RedeliverCommand> {
  constructor(
    private readonly requests: IdempotentRequests,
    private readonly hints: DueHints,
  ) {}

  async execute({ context, deliveryId, answering }: RedeliverCommand): Promise<Answer> {
    const { merchantId } = context;
    const answer = await this.requests.answer(merchantId, context, answering, async (client) => {
      const endpoint = await endpointOfDelivery(client, merchantId, deliveryId);
      if (!endpoint) throw notFound('webhook delivery');
      if (endpoint.status === 'disabled')
        throw new ProblemError('invalid_transition', 'The endpoint is disabled: enable it first.');
      await makeDueAgain(client, merchantId, endpoint.id, deliveryId);
      return findDelivery(client, merchantId, endpoint.id, deliveryId);
    });
    this.hints.send();
    return answer;
  }
}
