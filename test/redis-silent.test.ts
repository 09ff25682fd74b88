import { setTimeout as sleep } from 'node:timers/promises';
import { expect, inject, test } from 'vitest';
import { openRedis } from '#platform/redis.js';
import { TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';

test('a Redis that accepts a connection and says nothing is asked by another one', async () => {
  const proxy = await TcpProxy.open(inject('redisUrl'));
  proxy.stall();
  const redis = openRedis(proxy.url, {}, 200);
  await until('it is accepted', () => redis.status === 'connect' && proxy.links === 1);
  proxy.halfOpen();
  proxy.resume();
  expect(await redis.ping()).toBe('PONG');
  redis.disconnect();
  await proxy.close();
});

test('one that is ready is left alone', async () => {
  const redis = openRedis(inject('redisUrl'), {}, 100);
  let closes = 0;
  redis.on('close', () => {
    closes += 1;
  });
  expect(await redis.ping()).toBe('PONG');
  await sleep(300);
  expect([redis.status, closes]).toEqual(['ready', 0]);
  redis.disconnect();
});
