import { Redis } from 'ioredis';
import { afterAll, beforeAll, onTestFinished, test } from 'vitest';
import { HintReceiver, HintSender } from '#outbox/log/hints.js';
import { createLogger } from '#platform/logging.js';
import { type PrivateRedis, privateRedis } from './support/redis.js';
import { until } from './support/until.js';

const DATABASE = 'postgresql://nobody@127.0.0.1/hinted';
let redis: PrivateRedis;
let admin: Redis;

beforeAll(async () => {
  redis = await privateRedis();
  admin = new Redis(redis.url);
  admin.on('error', () => undefined);
});
afterAll(async () => {
  admin.disconnect();
  await redis.stop();
});

/** A receiver, and a sender that goes on until a hint has come. */
function hinted() {
  let count = 0;
  const logger = createLogger({ level: 'silent', service: 'test' });
  const receiver = new HintReceiver(redis.url, DATABASE, { onHint: () => count++, logger });
  const sender = new HintSender(redis.url, DATABASE);
  onTestFinished(() => {
    receiver.close();
    sender.close();
  });
  const untilHint = async () => {
    const before = count;
    await until('a hint comes', () => {
      sender.send();
      return count > before;
    });
  };
  return { receiver, untilHint };
}

test('hints come again after Redis has been away', async () => {
  const { untilHint } = hinted();
  await untilHint();
  await redis.crash();
  await untilHint();
});

test('a subscription that Redis refuses is counted, and tried until it succeeds', async () => {
  await admin.acl('SETUSER', 'default', 'resetchannels');
  const { receiver, untilHint } = hinted();
  await until('it has been refused', () => receiver.failures > 0);
  await admin.acl('SETUSER', 'default', 'allchannels');
  await untilHint();
});
