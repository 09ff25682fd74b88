import { serveConsumer } from '#outbox/consumer-thread.js';
import { CONSUMERS } from './consumers.js';

serveConsumer(CONSUMERS);
