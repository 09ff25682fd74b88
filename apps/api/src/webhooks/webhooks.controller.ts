import { Body, Controller, Delete, Get, Inject, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { cursorScope } from '#platform/cursor.js';
import { CONFIG } from '#platform/platform.module.js';
import type { RequestContext } from '#platform/request-context.js';
import type { WebhookDelivery } from '#webhooks/deliveries.js';
import {
  CreateWebhookEndpointCommand,
  DeleteWebhookEndpointCommand,
  EnableWebhookEndpointCommand,
  type EndpointWithSecret,
  RedeliverCommand,
  RotateWebhookSecretCommand,
} from '#webhooks/endpoint.commands.js';
import {
  GetWebhookEndpointQuery,
  ListWebhookDeliveriesQuery,
  ListWebhookEndpointsQuery,
} from '#webhooks/endpoint.queries.js';
import type { WebhookEndpoint } from '#webhooks/endpoint-store.js';
import type { Config } from '../../../config.js';
import { Documented } from '../documented.js';
import { answering, send } from '../idempotency.js';
import { pageQuery } from '../merchants/schemas.js';
import { Pages } from '../pages.js';
import { CurrentContext, PathId } from '../request.js';
import { noFields } from '../schemas.js';
import {
  createdWebhookEndpoint,
  createWebhookEndpoint,
  webhookDelivery,
  webhookDeliveryBody,
  webhookDeliveryList,
  webhookEndpoint,
  webhookEndpointBody,
  webhookEndpointList,
} from './schemas.js';

const HOUR_MS = 3_600_000;

@Controller('v1/webhook_endpoints')
export class WebhookEndpointsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Post()
  @Documented({
    price: 'change',
    summary: 'Have events sent to a URL',
    description:
      'Signed as Standard Webhooks (standardwebhooks.com) has it, at least once: a repetition has the same `webhook-id`. `ordering` says whether deliveries wait for each other.',
    status: 201,
    response: createdWebhookEndpoint,
    requestExample: { url: 'https://example.com/webhooks', event_types: ['transaction.posted'] },
  })
  async create(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: createWebhookEndpoint }) body: z.output<typeof createWebhookEndpoint>,
  ) {
    const endpoint = { url: body.url, eventTypes: body.event_types ?? null, ordering: body.ordering };
    const created = answering(request, 201, withSecret(context));
    const command = new CreateWebhookEndpointCommand(context, endpoint, this.config, created);
    return send(reply, await this.commands.execute(command));
  }

  @Get()
  @Documented({ price: 'list', summary: 'List webhook endpoints, newest first', response: webhookEndpointList })
  list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'webhook_endpoints'),
      cursor,
      limit,
      read: (before, count) => this.queries.execute(new ListWebhookEndpointsQuery(context, { before, limit: count })),
      position: (endpoint) => endpoint.id,
      body: (endpoint) => webhookEndpointBody(context.merchantId, endpoint),
    });
  }

  @Get(':id')
  @Documented({ price: 'get', summary: 'Get a webhook endpoint', response: webhookEndpoint, problems: ['not_found'] })
  get(@CurrentContext() context: RequestContext, @PathId('webhook endpoint') id: bigint) {
    return this.#endpoint(context, id);
  }

  @Delete(':id')
  @Documented({
    price: 'change',
    summary: 'Send nothing more to an endpoint',
    status: 204,
    response: undefined,
    problems: ['not_found'],
  })
  async remove(@CurrentContext() context: RequestContext, @PathId('webhook endpoint') id: bigint): Promise<void> {
    await this.commands.execute(new DeleteWebhookEndpointCommand(context, id));
  }

  @Post(':id/rotate_secret')
  @Documented({
    price: 'change',
    summary: 'Make a new secret',
    description:
      'It signs at once; each one before it signs until WEBHOOK_SECRET_OVERLAP_HOURS after its own rotation. Five sign at most: another rotation is then refused.',
    response: createdWebhookEndpoint,
    problems: ['not_found', 'invalid_transition'],
  })
  async rotateSecret(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('webhook endpoint') id: bigint,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const overlapMs = this.config.webhookSecretOverlapHours * HOUR_MS;
    const rotated = answering(request, 200, withSecret(context));
    const command = new RotateWebhookSecretCommand(context, id, overlapMs, rotated);
    return send(reply, await this.commands.execute(command));
  }

  @Post(':id/enable')
  @Documented({
    price: 'change',
    summary: 'Enable an endpoint that was disabled',
    description:
      'It gets what was due when it was disabled, and what happens from now on; nothing of the time between.',
    response: webhookEndpoint,
    problems: ['not_found'],
  })
  async enable(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('webhook endpoint') id: bigint,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const enabled = answering(request, 200, (endpoint: WebhookEndpoint) => ({
      body: webhookEndpointBody(context.merchantId, endpoint),
    }));
    return send(reply, await this.commands.execute(new EnableWebhookEndpointCommand(context, id, enabled)));
  }

  @Get(':id/deliveries')
  @Documented({
    price: 'list',
    summary: 'List what was sent to an endpoint and what is due, newest first',
    response: webhookDeliveryList,
    problems: ['not_found'],
  })
  deliveries(
    @CurrentContext() context: RequestContext,
    @PathId('webhook endpoint') id: bigint,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, `webhook_endpoints/${id}/deliveries`),
      cursor,
      limit,
      read: (before, count) =>
        this.queries.execute(new ListWebhookDeliveriesQuery(context, { endpointId: id, before, limit: count })),
      position: (delivery) => delivery.id,
      body: webhookDeliveryBody,
    });
  }

  async #endpoint(context: RequestContext, id: bigint) {
    return webhookEndpointBody(
      context.merchantId,
      await this.queries.execute(new GetWebhookEndpointQuery(context, id)),
    );
  }
}

@Controller('v1/webhook_deliveries')
export class WebhookDeliveriesController {
  constructor(private readonly commands: CommandBus) {}

  @Post(':id/redeliver')
  @Documented({
    price: 'change',
    summary: 'Send a delivery again',
    description:
      'At once and under the same `webhook-id`. One that is still due is tried now; any other is sent once, before all that is due.',
    status: 202,
    response: webhookDelivery,
    problems: ['not_found', 'invalid_transition'],
  })
  async redeliver(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('webhook delivery') id: bigint,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const due = answering(request, 202, (delivery: WebhookDelivery) => ({ body: webhookDeliveryBody(delivery) }));
    return send(reply, await this.commands.execute(new RedeliverCommand(context, id, due)));
  }
}

/** An answer with a secret, which a replay has null in place of. */
function withSecret({ merchantId }: RequestContext) {
  return ({ endpoint, secret }: EndpointWithSecret) => {
    const shown = webhookEndpointBody(merchantId, endpoint);
    return { body: { ...shown, secret }, kept: { ...shown, secret: null } };
  };
}
