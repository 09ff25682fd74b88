import { type IQueryHandler, Query, QueryHandler } from '@nestjs/cqrs';
import { notFound } from '#kernel/problem.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import { listDeliveries, type WebhookDelivery } from './deliveries.js';
import { getEndpoint, listEndpoints, type WebhookEndpoint } from './endpoint-store.js';

/** Throws `not_found`. */
export class GetWebhookEndpointQuery extends Query<WebhookEndpoint> {
  constructor(
    readonly context: RequestContext,
    readonly endpointId: bigint,
  ) {
    super();
  }
}

@QueryHandler(GetWebhookEndpointQuery)
export class GetWebhookEndpointHandler implements IQueryHandler<GetWebhookEndpointQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, endpointId }: GetWebhookEndpointQuery): Promise<WebhookEndpoint> {
    const endpoint = await getEndpoint(this.database, context.merchantId, endpointId, context.deadline);
    if (!endpoint) throw notFound('webhook endpoint');
    return endpoint;
  }
}

/** A page, newest first: endpoints older than `before`. */
export class ListWebhookEndpointsQuery extends Query<WebhookEndpoint[]> {
  constructor(
    readonly context: RequestContext,
    readonly page: { before: bigint | undefined; limit: number },
  ) {
    super();
  }
}

@QueryHandler(ListWebhookEndpointsQuery)
export class ListWebhookEndpointsHandler implements IQueryHandler<ListWebhookEndpointsQuery> {
  constructor(private readonly database: Database) {}

  execute({ context, page }: ListWebhookEndpointsQuery): Promise<WebhookEndpoint[]> {
    return listEndpoints(this.database, context.merchantId, page, context.deadline);
  }
}

/** An endpoint's deliveries with their last attempts, newest first. Throws `not_found`. */
export class ListWebhookDeliveriesQuery extends Query<WebhookDelivery[]> {
  constructor(
    readonly context: RequestContext,
    readonly page: { endpointId: bigint; before: bigint | undefined; limit: number },
  ) {
    super();
  }
}

@QueryHandler(ListWebhookDeliveriesQuery)
export class ListWebhookDeliveriesHandler implements IQueryHandler<ListWebhookDeliveriesQuery> {
  constructor(private readonly database: Database) {}

  async execute({ context, page }: ListWebhookDeliveriesQuery): Promise<WebhookDelivery[]> {
    const { merchantId, deadline, cost } = context;
    if (!(await getEndpoint(this.database, merchantId, page.endpointId, deadline))) throw notFound('webhook endpoint');
    const deliveries = await listDeliveries(this.database, merchantId, page, deadline);
    cost.addRows(deliveries.reduce((sum, { log }) => sum + log.length, 0));
    return deliveries;
  }
}
