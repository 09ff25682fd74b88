import { Redis, type RedisOptions } from 'ioredis';

const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_STEP_MS = 50;
export const RECONNECT_LONGEST_MS = 1_000;

/**
 * The one opener of connections to Redis. They are opened and reopened for as long as it takes; what a caller does meanwhile, wait or
 * fail, it says in `options`.
 */
export function openRedis(url: string, options: RedisOptions): Redis {
  const redis = new Redis(url, {
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * RECONNECT_STEP_MS, RECONNECT_LONGEST_MS),
    ...options,
  });
  // Each command tells its caller; without a listener the event would be printed or end the process.
  redis.on('error', () => undefined);
  return redis;
}
