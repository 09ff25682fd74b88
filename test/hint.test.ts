import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
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

function received(name?: string) {
  let count = 0;
  const logger = createLogger({ level: 'silent', service: 'test' });
  const receiver = new HintReceiver(redis.url, DATABASE, { onHint: () => count++, logger, name });
  onTestFinished(() => receiver.close());
  /** It has subscribed once more, and says so. */
  const untilSubscribed = (times = 1) => until('it hears hints', () => count === times);
  return { receiver, untilSubscribed, count: () => count };
}

function sending(url = redis.url) {
  const sender = new HintSender(url, DATABASE);
  onTestFinished(() => sender.close());
  return sender;
}

/** A receiver, and a sender that goes on until a hint has come. */
function hinted() {
  const { receiver, untilSubscribed, count } = received();
  const sender = sending();
  const untilHint = async () => {
    const before = count();
    await until('a hint comes', () => {
      sender.send();
      return count() > before;
    });
  };
  return { receiver, untilHint, untilSubscribed };
}

test('who subscribes looks once by itself: what was told before, nobody has heard', async () => {
  const { untilSubscribed, count } = received();
  await untilSubscribed();
  await redis.crash();
  await untilSubscribed(2);
  expect(count()).toBe(2);
});

test('a hint that is given before there is a connection is sent once there is one', async () => {
  const { untilSubscribed, count } = received();
  await untilSubscribed();
  const sender = sending();
  sender.send();
  await until('it comes', () => count() > 1);
});

test('a hint that Redis refuses is sent with the next connection', async () => {
  const { untilSubscribed, count } = received();
  await untilSubscribed();
  await admin.acl('SETUSER', 'teller', 'on', 'nopass', '+@all', '~*', 'resetchannels');
  const url = new URL(redis.url);
  url.username = 'teller';
  url.password = 'any';
  const sender = sending(url.href);
  const refusals = async () => Number(/errorstat_NOPERM:count=(\d+)/.exec(await admin.info('errorstats'))?.[1] ?? 0);
  const before = await refusals();
  sender.send();
  await until('it is refused', async () => (await refusals()) > before);
  expect(count()).toBe(1);
  await admin.acl('SETUSER', 'teller', 'allchannels');
  await admin.client('KILL', 'USER', 'teller');
  await until('it comes', () => count() > 1);
});

test('hints come again after Redis has been away', async () => {
  const { untilHint, untilSubscribed } = hinted();
  await untilSubscribed();
  await untilHint();
  await redis.crash();
  await untilHint();
  // The first may be the receiver's own look.
  await untilHint();
});

test('a subscription that Redis refuses is counted, and tried until it succeeds', async () => {
  await admin.acl('SETUSER', 'default', 'resetchannels');
  const { receiver, untilHint } = hinted();
  await until('it has been refused', () => receiver.failures > 0);
  await admin.acl('SETUSER', 'default', 'allchannels');
  await untilHint();
});

test('who knows already is not told, and others are', async () => {
  const [mine, other] = [received('me'), received('other')];
  await Promise.all([mine.untilSubscribed(), other.untilSubscribed()]);
  await admin.publish('counterfoil:events:hinted', 'me');
  await admin.publish('counterfoil:events:hinted', '');
  await until('both have heard the last', () => mine.count() === 2 && other.count() === 3);
});

test('a hint says who knows, and none where it stands for others as well', async () => {
  const heard: string[] = [];
  const ear = new Redis(redis.url);
  onTestFinished(() => ear.disconnect());
  ear.on('message', (_channel, knownTo) => heard.push(knownTo));
  await ear.subscribe('counterfoil:events:hinted');
  const sender = sending();
  await until('it says so', () => {
    sender.send('me');
    return heard.at(-1) === 'me';
  });
  await until('it says nothing', () => {
    sender.send();
    sender.send('me');
    return heard.at(-1) === '';
  });
});
