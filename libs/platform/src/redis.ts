import { Redis, type RedisOptions } from 'ioredis';

const CONNECT_TIMEOUT_MS = 2_000;
/** From a connection until its server has said that it is ready. One that loads its data says that it does, and is asked again. */
const READY_TIMEOUT_MS = 10_000;
const RECONNECT_STEP_MS = 50;
export const RECONNECT_LONGEST_MS = 1_000;

/**
 * The one opener of connections to Redis. They are opened and reopened for as long as it takes; what a caller does meanwhile, wait or
 * fail, it says in `options`.
 */
export function openRedis(url: string, options: RedisOptions, readyTimeoutMs = READY_TIMEOUT_MS): Redis {
  const redis = new Redis(url, {
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * RECONNECT_STEP_MS, RECONNECT_LONGEST_MS),
    ...options,
  });
  // Each command tells its caller; without a listener the event would be printed or end the process.
  redis.on('error', () => undefined);
  reconnectUnlessReady(redis, readyTimeoutMs);
  return redis;
}

/** connectTimeout is over with TCP's handshake: a server that accepts and says nothing would be waited for as long as it lives. */
function reconnectUnlessReady(redis: Redis, timeoutMs: number): void {
  let timer: NodeJS.Timeout | undefined;
  redis.on('connect', () => {
    clearTimeout(timer);
    timer = setTimeout(() => redis.disconnect(true), timeoutMs).unref();
  });
  for (const end of ['ready', 'close']) redis.on(end, () => clearTimeout(timer));
}
