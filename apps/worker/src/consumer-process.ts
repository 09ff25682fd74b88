import { serveConsumer } from '#outbox/consumer-process.js';
import { consumersOf, ROOMS } from '../../rooms.js';

serveConsumer(consumersOf(ROOMS));
