import { Redis } from 'ioredis';

/** Hints that come closer together are one: a relay that is busy looks by itself. */
const HINT_EVERY_MS = 10;
const CONNECT_TIMEOUT_MS = 2_000;
const RECONNECT_LONGEST_MS = 1_000;

/** What a hint is about: that events were committed, or that webhooks became due. */
type Topic = 'events' | 'webhooks';

function channelOf(topic: Topic, databaseUrl: string): string {
  return `counterfoil:${topic}:${new URL(databaseUrl).pathname.slice(1)}`;
}

function connect(url: string): Redis {
  const redis = new Redis(url, {
    enableOfflineQueue: false,
    autoResubscribe: true,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(times * 50, RECONNECT_LONGEST_MS),
  });
  redis.on('error', () => undefined);
  return redis;
}

/**
 * Tells relays that something was committed. Nobody relies on it: a hint that is lost costs the relay's idle wait. (Not
 * NOTIFY: it takes a lock that makes all commits of the database wait in line.)
 */
export class HintSender {
  readonly #redis: Redis;
  readonly #channel: string;
  #timer: NodeJS.Timeout | undefined;
  #isDue = false;

  constructor(url: string, databaseUrl: string, topic: Topic = 'events') {
    this.#redis = connect(url);
    this.#channel = channelOf(topic, databaseUrl);
  }

  /** Costs nothing on the way of a posting: at most one message in HINT_EVERY_MS, sent and forgotten. */
  send(): void {
    this.#isDue = true;
    if (this.#timer) return;
    this.#publish();
    this.#timer = setInterval(() => {
      if (this.#isDue) return this.#publish();
      clearInterval(this.#timer);
      this.#timer = undefined;
    }, HINT_EVERY_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#redis.disconnect();
  }

  #publish(): void {
    this.#isDue = false;
    if (this.#redis.status === 'ready') this.#redis.publish(this.#channel, '').catch(() => undefined);
  }
}

export class HintReceiver {
  readonly #redis: Redis;

  constructor(url: string, databaseUrl: string, onHint: () => void, topic: Topic = 'events') {
    this.#redis = connect(url);
    this.#redis.on('message', onHint);
    this.#redis.once('ready', () => {
      this.#redis.subscribe(channelOf(topic, databaseUrl)).catch(() => undefined);
    });
  }

  close(): void {
    this.#redis.disconnect();
  }
}
