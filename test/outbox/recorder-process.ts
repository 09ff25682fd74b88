import { serveConsumer } from '#outbox/consumers/consumer-process.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { WebhookFanOut } from '#webhooks/fan-out.js';
import { RECORDERS } from './recorder.js';

serveConsumer([...RECORDERS, new DailySummaries(), new WebhookFanOut()]);
