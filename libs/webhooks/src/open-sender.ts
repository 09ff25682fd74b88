import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { PublicHttp, type PublicHttpOptions } from '#platform/public-http.js';
import { urlRulesOf } from '#platform/public-url.js';
import { DeliveryStore } from './delivery-store.js';
import { type SenderOptions, WebhookSender } from './sender.js';
import type { WebhooksSettings } from './settings.js';

const HOUR_MS = 3_600_000;

/** A worker's sender, as the environment has it. */
export function openWebhookSender(database: Database, config: WebhooksSettings, logger: Logger): WebhookSender {
  const [store, options] = [new DeliveryStore(database), senderOptionsOf(config)];
  return new WebhookSender({ database, store, http: new PublicHttp(options), logger }, options);
}

/** All waits in milliseconds, as the sender has them. */
export function senderOptionsOf(config: WebhooksSettings): SenderOptions & PublicHttpOptions {
  return {
    ...urlRulesOf(config),
    pollMs: config.webhookPollMs,
    concurrency: config.webhookConcurrency,
    merchantConcurrency: config.webhookMerchantConcurrency,
    slowMs: config.webhookSlowMs,
    slowConcurrency: config.webhookSlowConcurrency,
    endpointConcurrency: config.webhookEndpointConcurrency,
    connectTimeoutMs: config.webhookConnectTimeoutMs,
    headersTimeoutMs: config.webhookHeadersTimeoutMs,
    timeoutMs: config.webhookTimeoutMs,
    responseBytes: config.webhookResponseBytes,
    retryScheduleMs: config.webhookRetryScheduleS.map((wait) => wait * 1_000),
    retryAfterMaxMs: config.webhookRetryAfterMaxS * 1_000,
    disableAfterMs: config.webhookDisableAfterHours * HOUR_MS,
  };
}
