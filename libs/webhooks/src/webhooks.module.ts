import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import type { Config } from '#platform/config.js';
import { CONFIG } from '#platform/platform.module.js';
import { DueHints } from './due-hints.js';
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
    { provide: DueHints, useFactory: (config: Config) => new DueHints(config), inject: [CONFIG] },
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
