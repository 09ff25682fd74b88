import { serveConsumer } from '#outbox/consumer-process.js';
import { DailySummaries } from '#summaries/daily-summaries.js';
import { RECORDERS } from './recorder.js';

serveConsumer([...RECORDERS, new DailySummaries()]);
