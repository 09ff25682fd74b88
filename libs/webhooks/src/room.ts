import type { Room } from '#outbox/room.js';
import { WebhookFanOut } from './fan-out.js';

export const WEBHOOKS: Room = {
  module: async () => (await import('./webhooks.module.js')).WebhooksModule,
  worker: async () => (await import('./webhooks-worker.module.js')).WebhooksWorkerModule,
  consumers: [new WebhookFanOut()],
};
