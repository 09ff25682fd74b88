import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import {
  CreateWebhookEndpointHandler,
  DeleteWebhookEndpointHandler,
  EnableWebhookEndpointHandler,
  RedeliverHandler,
  RotateWebhookSecretHandler,
} from './endpoint.commands.js';
import {
  GetWebhookEndpointHandler,
  ListWebhookDeliveriesHandler,
  ListWebhookEndpointsHandler,
} from './endpoint.queries.js';

/** Endpoints and their deliveries, for the API. Needs PlatformModule. What sends is the worker's (`sender.ts`). */
@Module({
  imports: [CqrsModule],
  providers: [
    CreateWebhookEndpointHandler,
    RotateWebhookSecretHandler,
    DeleteWebhookEndpointHandler,
    EnableWebhookEndpointHandler,
    RedeliverHandler,
    GetWebhookEndpointHandler,
    ListWebhookEndpointsHandler,
    ListWebhookDeliveriesHandler,
  ],
})
export class WebhooksModule {}
