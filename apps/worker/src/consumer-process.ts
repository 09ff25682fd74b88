import { serveConsumer } from '#outbox/consumers/consumer-process.js';
import { consumersOf, ROOMS } from '../../rooms.js';

serveConsumer(consumersOf(ROOMS));
