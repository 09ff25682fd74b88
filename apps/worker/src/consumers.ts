import type { Consumer } from '#outbox/consumer.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { WebhookFanOut } from '#webhooks/fan-out.js';

/** What applies the log, each in a process and with a queue of its own. */
export const CONSUMERS: readonly Consumer[] = [new DailySummaries(), new WebhookFanOut()];
