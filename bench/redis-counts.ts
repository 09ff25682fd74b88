import type { Redis } from 'ioredis';

/** What a Redis server has run since it began. */
export interface RedisCounts {
  /** Scripts called: what clients sent. */
  calls: number;
  /** Commands that the scripts ran. */
  commands: number;
}

/** What this harness and connecting clients send; no part of a read or write. */
const NOT_COUNTED = /^(info|hello|auth|select|client|command|config|ping|script|scan)\b/;

export async function redisCounts(redis: Redis): Promise<RedisCounts> {
  const counts = { calls: 0, commands: 0 };
  for (const [, name = '', calls = '0'] of (await redis.info('commandstats')).matchAll(
    /^cmdstat_([\w|]+):calls=(\d+)/gm,
  )) {
    if (NOT_COUNTED.test(name)) continue;
    counts[name === 'evalsha' ? 'calls' : 'commands'] += Number(calls);
  }
  return counts;
}
