import type { Room } from '#outbox/room.js';
import { WebhookFanOut } from './fan-out.js';
import { WEBHOOKS_SETTINGS } from './settings.js';

export const WEBHOOKS = {
  settings: WEBHOOKS_SETTINGS,
  module: async () => (await import('./webhooks.module.js')).WebhooksModule,
  worker: async () => (await import('./webhooks-worker.module.js')).WebhooksWorkerModule,
  consumers: [new WebhookFanOut()],
} satisfies Room;
