import { Module } from '@nestjs/common';
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
import type { WebhooksSettings } from './settings.js';

/** Endpoints and their deliveries. Needs PlatformModule. What sends is the worker's (`webhooks-worker.module.ts`). */
@Module({
  providers: [
    { provide: DueHints, useFactory: (config: WebhooksSettings) => new DueHints(config), inject: [CONFIG] },
    CreateWebhookEndpointHandler,
    RotateWebhookSecretHandler,
    DeleteWebhookEndpointHandler,
    EnableWebhookEndpointHandler,
    RedeliverHandler,
    GetWebhookEndpointHandler,
    ListWebhookEndpointsHandler,
    ListWebhookDeliveriesHandler,
  ],
  exports: [DueHints],
})
export class WebhooksModule {}
