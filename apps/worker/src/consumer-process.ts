import { serveConsumer } from '#outbox/consumer-process.js';
import { CONSUMERS } from './consumers.js';

serveConsumer(CONSUMERS);
