import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import type { WebhookSettings } from '#platform/webhook-settings.js';
import { DeliveryStore } from './delivery-store.js';
import { PublicHttp } from './public-http.js';
import { WebhookSender } from './sender.js';

/** A worker's sender, as the environment has it. */
export function openWebhookSender(database: Database, settings: WebhookSettings, logger: Logger): WebhookSender {
  const store = new DeliveryStore(database);
  return new WebhookSender({ database, store, http: new PublicHttp(settings), logger }, settings);
}
